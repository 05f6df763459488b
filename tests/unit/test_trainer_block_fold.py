"""The arithmetic of a block, against torch's autograd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.bases import OnlineSettings, OpenBase
from contracts.layout import Layout
from tests.support.bases import Tiny, tiny_base
from trainer.block_fold import Block, BlockFold
from trainer.losses import listwise
from trainer.negatives import CountSampler, numbers_of
from trainer.towers import user_vector

Score = Literal["cosine", "dot"]
SIZE, REAL, USERS, ITEMS, WIDTH = 8, 6, 3, 40, 8
scores = pytest.mark.parametrize("score", ["cosine", "dot"])


def base_with(root: Path, score: Score, online: OnlineSettings) -> OpenBase:
    base = tiny_base(Layout(root), Tiny(items=ITEMS, width=WIDTH, online=online))
    towers = msgspec.structs.replace(base.manifest.towers, score=score)
    return replace(base, manifest=msgspec.structs.replace(base.manifest, towers=towers))


def some_block(seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    return Block(
        name="test",
        ordinal=17,
        context=torch.tensor(rng.normal(size=(SIZE, WIDTH)).astype(np.float32)),
        user_at=torch.tensor([0, 1, 0, 2, 1, 0, 0, 0]),
        targets=torch.tensor(rng.integers(0, ITEMS, SIZE)),
        learns=torch.arange(SIZE) < REAL,
        own=rng.normal(size=(USERS, WIDTH)).astype(np.float32) * np.float32(0.3),
        weights=rng.uniform(0.5, 3.0, ITEMS),
        offset=torch.tensor(rng.normal(size=ITEMS).astype(np.float32)),
    )


def losses(base: OpenBase, block: Block, h: Tensor, temperature: float) -> Tensor:
    """The loss of each sample, written as the full softmax that the gradient is meant to be of."""
    q = user_vector(h, base.manifest.towers)
    logits = (q @ torch.tensor(base.items.vectors).T + block.offset) / temperature
    return torch.nn.functional.cross_entropy(logits, block.targets, reduction="none")


@scores
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_is_that_of_autograd(tmp_path: Path, score: Score, temperature: float) -> None:
    base, block = base_with(tmp_path, score, OnlineSettings()), some_block()
    h = (torch.tensor(base.common) + block.context).requires_grad_()
    losses(base, block, h, temperature).sum().backward()  # type: ignore[no-untyped-call]
    found = BlockFold(base).gradient(h.detach(), block, temperature)
    assert h.grad is not None
    torch.testing.assert_close(found, h.grad, rtol=1e-4, atol=1e-5)


@scores
def test_the_common_row_moves_by_the_mean_and_own_rows_by_the_sum_of_autograds_gradients(
    tmp_path: Path, score: Score
) -> None:
    online = OnlineSettings(common_steps=1, common_step=0.3, own_step=0.2, learning_temperature=2.0)
    base, block = base_with(tmp_path, score, online), some_block()
    common, own = torch.tensor(base.common).requires_grad_(), torch.tensor(block.own).requires_grad_()
    losses(base, block, common + own[block.user_at] + block.context, 1.0)[:REAL].mean().backward()  # type: ignore[no-untyped-call]
    assert common.grad is not None
    moved = (common - 0.3 * common.grad).detach()
    own = torch.tensor(block.own).requires_grad_()
    losses(base, block, moved + own[block.user_at] + block.context, 2.0)[:REAL].sum().backward()  # type: ignore[no-untyped-call]
    stepped = BlockFold(base).step(block, base.common)
    np.testing.assert_allclose(stepped.common, moved.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        stepped.own, (own - 0.2 * torch.as_tensor(own.grad)).detach().numpy(), rtol=1e-4, atol=1e-5
    )


@scores
def test_with_negatives_the_gradient_is_that_of_the_listwise_loss_on_the_drawn_items(
    tmp_path: Path, score: Score
) -> None:
    base, block = base_with(tmp_path, score, OnlineSettings(negatives=64)), some_block()
    sampler = CountSampler(block.weights)
    drawn = sampler.draw(numbers_of(block.name, block.ordinal), 64)
    at, vectors = torch.from_numpy(drawn), torch.tensor(base.items.vectors)
    h = (torch.tensor(base.common) + block.context).requires_grad_()
    q = user_vector(h, base.manifest.towers)
    clicked = ((q * vectors[block.targets]).sum(1) + block.offset[block.targets]) / 4.0
    others = (q @ vectors[at].T + block.offset[at]) / 4.0
    hits = at[None, :] == block.targets[:, None]
    assert bool(hits.any())
    (listwise(clicked, others, torch.from_numpy(sampler.log_expected(drawn)), hits) * SIZE).backward()  # type: ignore[no-untyped-call]
    assert h.grad is not None
    torch.testing.assert_close(BlockFold(base).gradient(h.detach(), block, 4.0), h.grad, rtol=1e-4, atol=1e-5)


def test_padding_and_samples_that_do_not_learn_move_nothing(tmp_path: Path) -> None:
    base, block = base_with(tmp_path, "cosine", OnlineSettings()), some_block()
    other = replace(
        block,
        context=torch.cat([block.context[:REAL], torch.ones(SIZE - REAL, WIDTH)]),
        targets=torch.cat([block.targets[:REAL], torch.full((SIZE - REAL,), 5)]),
    )
    fold = BlockFold(base)
    one, two = fold.step(block, base.common), fold.step(other, base.common)
    assert np.array_equal(one.common, two.common)
    assert np.array_equal(one.own, two.own)
    nobody = fold.step(replace(block, learns=torch.zeros(SIZE, dtype=torch.bool)), base.common)
    assert np.array_equal(nobody.common, base.common)
    assert np.array_equal(nobody.own, block.own)


def test_an_own_row_is_cut_to_the_norm_cap(tmp_path: Path) -> None:
    online = OnlineSettings(norm_cap=0.5, own_step=5.0)
    stepped = BlockFold(base_with(tmp_path, "cosine", online)).step(some_block(), np.zeros(WIDTH, np.float32))
    lengths = np.linalg.norm(stepped.own, axis=1)
    assert (lengths <= 0.5 + 1e-6).all()
    assert (lengths > 0.4999).any()


def test_a_row_that_would_not_be_finite_is_told_and_leaves_the_others_alone(tmp_path: Path) -> None:
    online = OnlineSettings(own_step=1.0, common_step=0.0)
    base, block = base_with(tmp_path, "dot", online), some_block()
    broken = block.own.copy()
    broken[1] = np.inf
    stepped = BlockFold(base).step(replace(block, own=broken), base.common)
    sound = BlockFold(base).step(block, base.common)
    assert stepped.finite.tolist() == [True, False, True]
    assert np.array_equal(stepped.own[[0, 2]], sound.own[[0, 2]])


@scores
def test_with_both_steps_off_nothing_moves(tmp_path: Path, score: Score) -> None:
    base, block = base_with(tmp_path, score, OnlineSettings(common_step=0.0, own_step=0.0)), some_block()
    stepped = BlockFold(base).step(block, base.common)
    assert np.array_equal(stepped.common, base.common)
    assert np.array_equal(stepped.own, block.own)
