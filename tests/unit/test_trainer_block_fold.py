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
from trainer.block_fold import Block, BlockFold, Rivals, every
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


def some_block(base: OpenBase, seed: int = 0) -> Block:
    """A block of six samples that learn and two of padding, against all items."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, ITEMS, SIZE)
    offset = rng.normal(size=ITEMS).astype(np.float32)
    return Block(
        context=rng.normal(size=(SIZE, WIDTH)).astype(np.float32),
        user_at=np.array([0, 1, 0, 2, 1, 0, 0, 0]),
        targets=targets,
        learns=np.arange(SIZE) < REAL,
        own=rng.normal(size=(USERS, WIDTH)).astype(np.float32) * np.float32(0.3),
        rivals=every(base.items.vectors),
        offset=offset,
        target_offset=offset[targets],
    )


def block_fold(base: OpenBase) -> BlockFold:
    return BlockFold(base, base.manifest.online)


def losses(base: OpenBase, block: Block, h: Tensor, temperature: float) -> Tensor:
    """The loss of each sample, written as the full softmax that the gradient is meant to be of."""
    q = user_vector(h, base.manifest.towers)
    logits = (q @ torch.tensor(base.items.vectors).T + torch.from_numpy(block.offset)) / temperature
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(block.targets), reduction="none")


@scores
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_is_that_of_autograd(tmp_path: Path, score: Score, temperature: float) -> None:
    base = base_with(tmp_path, score, OnlineSettings())
    block = some_block(base)
    h = torch.tensor(base.common + block.own[block.user_at] + block.context).requires_grad_()
    losses(base, block, h, temperature).sum().backward()  # type: ignore[no-untyped-call]
    found = block_fold(base).gradients(block, base.common, temperature)
    assert h.grad is not None
    np.testing.assert_allclose(found, h.grad.numpy(), rtol=1e-4, atol=1e-5)


@scores
def test_the_common_row_moves_by_the_mean_and_own_rows_by_the_sum_of_autograds_gradients(
    tmp_path: Path, score: Score
) -> None:
    online = OnlineSettings(common_steps=1, common_step=0.3, own_step=0.2, learning_temperature=2.0)
    base = base_with(tmp_path, score, online)
    block = some_block(base)
    at, context = torch.from_numpy(block.user_at), torch.from_numpy(block.context)
    common, own = torch.tensor(base.common).requires_grad_(), torch.tensor(block.own).requires_grad_()
    losses(base, block, common + own[at] + context, 1.0)[:REAL].mean().backward()  # type: ignore[no-untyped-call]
    assert common.grad is not None
    moved = (common - 0.3 * common.grad).detach()
    own = torch.tensor(block.own).requires_grad_()
    losses(base, block, moved + own[at] + context, 2.0)[:REAL].sum().backward()  # type: ignore[no-untyped-call]
    stepped = block_fold(base).step(block, base.common)
    np.testing.assert_allclose(stepped.common, moved.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        stepped.own, (own - 0.2 * torch.as_tensor(own.grad)).detach().numpy(), rtol=1e-4, atol=1e-5
    )


@scores
def test_with_negatives_the_gradient_is_that_of_the_listwise_loss_on_the_drawn_items(
    tmp_path: Path, score: Score
) -> None:
    base = base_with(tmp_path, score, OnlineSettings(negatives=64))
    block = some_block(base)
    rng = np.random.default_rng(5)
    sampler = CountSampler(rng.uniform(0.5, 3.0, ITEMS))
    drawn = sampler.draw_spread(numbers_of("test", 17), 64)
    vectors = torch.tensor(base.items.vectors)
    log_expected = sampler.log_expected(drawn, len(drawn))
    at, times = np.unique(drawn, return_counts=True)
    log_distinct = log_expected[np.searchsorted(drawn, at)] - np.log(times).astype(np.float32)
    rivals = Rivals(at, base.items.vectors[at], log_distinct)
    offset, block = block.offset[drawn], replace(block, rivals=rivals, offset=block.offset[at])
    h = torch.tensor(base.common + block.own[block.user_at] + block.context).requires_grad_()
    q = user_vector(h, base.manifest.towers)
    clicked = ((q * vectors[block.targets]).sum(1) + torch.from_numpy(block.target_offset)) / 4.0
    others = (q @ vectors[drawn].T + torch.from_numpy(offset)) / 4.0
    hits = torch.from_numpy(drawn[None, :] == block.targets[:, None])
    assert bool(hits.any())
    (listwise(clicked, others, torch.from_numpy(log_expected), hits) * SIZE).backward()  # type: ignore[no-untyped-call]
    assert h.grad is not None
    found = block_fold(base).gradients(block, base.common, 4.0)
    np.testing.assert_allclose(found, h.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_padding_and_samples_that_do_not_learn_move_nothing(tmp_path: Path) -> None:
    base = base_with(tmp_path, "cosine", OnlineSettings())
    block = some_block(base)
    other = replace(
        block,
        context=np.concatenate([block.context[:REAL], np.ones((SIZE - REAL, WIDTH), np.float32)]),
        targets=np.concatenate([block.targets[:REAL], np.full(SIZE - REAL, 5)]),
    )
    fold = block_fold(base)
    one, two = fold.step(block, base.common), fold.step(other, base.common)
    assert np.array_equal(one.common, two.common)
    assert np.array_equal(one.own, two.own)
    nobody = fold.step(replace(block, learns=np.zeros(SIZE, np.bool_)), base.common)
    assert np.array_equal(nobody.common, base.common)
    assert np.array_equal(nobody.own, block.own)


def test_an_own_row_is_cut_to_the_norm_cap(tmp_path: Path) -> None:
    online = OnlineSettings(norm_cap=0.5, own_step=5.0)
    base = base_with(tmp_path, "cosine", online)
    stepped = block_fold(base).step(some_block(base), np.zeros(WIDTH, np.float32))
    lengths = np.linalg.norm(stepped.own, axis=1)
    assert (lengths <= 0.5 + 1e-6).all()
    assert (lengths > 0.4999).any()


def test_a_row_that_would_not_be_finite_is_told_and_leaves_the_others_alone(tmp_path: Path) -> None:
    online = OnlineSettings(own_step=1.0, common_step=0.0)
    base = base_with(tmp_path, "dot", online)
    block = some_block(base)
    broken = block.own.copy()
    broken[1] = np.inf
    stepped = block_fold(base).step(replace(block, own=broken), base.common)
    sound = block_fold(base).step(block, base.common)
    assert stepped.finite.tolist() == [True, False, True]
    assert np.array_equal(stepped.own[[0, 2]], sound.own[[0, 2]])


@scores
def test_with_both_steps_off_nothing_moves(tmp_path: Path, score: Score) -> None:
    base = base_with(tmp_path, score, OnlineSettings(common_step=0.0, own_step=0.0))
    block = some_block(base)
    stepped = block_fold(base).step(block, base.common)
    assert np.array_equal(stepped.common, base.common)
    assert np.array_equal(stepped.own, block.own)
