"""The listwise loss from vectors: value and gradients beside the plain one's, which has a matrix of scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.losses import listwise
from trainer.sampled_softmax import BatchScores, competing, sampled_softmax

CLICKED = np.array([0, 3, 3, 5, 1])
DRAWN = np.array([3, 2, 3, 4, 5, 3, 2])
LOG_EXPECTED = np.log(np.array([1, 1, 1.5, 3.0, 0.5, 0.25])).astype(np.float32)[DRAWN]


def parts(size: float) -> tuple[Tensor, Tensor, Tensor]:
    """User vectors, item vectors and biases, of about that size."""
    dice = torch.Generator().manual_seed(1)
    users, items, biases = (torch.randn(*shape, generator=dice) * size for shape in ((5, 4), (6, 4), (6,)))
    return users.requires_grad_(), items.requires_grad_(), biases.requires_grad_()


def plain(users: Tensor, items: Tensor, biases: Tensor) -> Tensor:
    scores = users @ items.T + biases
    hits = torch.from_numpy(CLICKED[:, None] == DRAWN[None, :])
    clicked = scores[torch.arange(5), torch.from_numpy(CLICKED)]
    return listwise(clicked, scores[:, torch.from_numpy(DRAWN)], torch.from_numpy(LOG_EXPECTED), hits)


def ours(users: Tensor, items: Tensor, biases: Tensor) -> Tensor:
    found = BatchScores(users, items, biases)
    others = competing(found, (CLICKED, DRAWN), LOG_EXPECTED)
    return sampled_softmax(users, found.of(CLICKED), others)


@pytest.mark.parametrize("size", [0.1, 3.0, 30.0])
def test_loss_and_gradients_are_those_of_the_plain_loss_over_every_copy_that_was_drawn(size: float) -> None:
    one, other = parts(size), parts(size)
    wanted, found = plain(*one), ours(*other)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.autograd.backward(wanted * 1.7)
    torch.autograd.backward(found * 1.7)
    for mine, theirs in zip(other, one, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5 * max(1.0, size**2))


def test_a_batch_whose_draws_are_all_the_clicked_item_has_no_loss() -> None:
    users, items, biases = parts(1.0)
    found = BatchScores(users, items, biases)
    clicked, drawn = np.full(5, 2), np.full(3, 2)
    loss = sampled_softmax(users, found.of(clicked), competing(found, (clicked, drawn), np.zeros(3, np.float32)))
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)


def test_each_users_score_is_that_of_the_items_named_for_it() -> None:
    users, items, biases = parts(1.0)
    scores = BatchScores(users, items, biases).of(np.array([[0, 5]] * 5))
    torch.testing.assert_close(scores, (users @ items.T + biases)[:, [0, 5]])
