"""The listwise objective, loss and gradients in one go: what most of a training step's time would go into.

The same loss as `trainer.losses.listwise`, from vectors instead of scores. The matrix of scores is made once and
exponentiated in place, the gradients are products with it; left to the autograd it would be copied some ten times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contracts.arrays import Floats, Integers


@dataclass(frozen=True)
class BatchScores:
    """What a batch's scores are made of: user vectors, float32 [n, d]; vectors [k, d] and biases [k] of its items."""

    users: Tensor
    items: Tensor
    biases: Tensor

    def of(self, at: Integers) -> Tensor:
        """Return each user's score of one item, `at` int64 [n], or of several, [n, m]."""
        positions = torch.from_numpy(at)
        users = self.users if at.ndim == 1 else self.users[:, None, :]
        return (users * self.items[positions]).sum(-1) + self.biases[positions]


@dataclass(frozen=True)
class Competing:
    """What the clicked items of a batch compete with: m distinct items.

    `vectors`: float32 [m, d]; `offsets`: float32 [m], what is added to their scores: bias, less the log of how often
    the item is expected among those drawn, plus the log of how often it was drawn. `hits`: int64 [n], which of them is
    the clicked item itself, to be left out; -1 for none.
    """

    vectors: Tensor
    offsets: Tensor
    hits: Integers


def competing(found: BatchScores, at: tuple[Integers, Integers], log_expected: Floats) -> Competing:
    """Return what was drawn with its copies merged: k of them are one whose score has log k more.

    `at`: where the clicked items, int64 [n], and those drawn, int64 [m], stand among the items of `found`;
    `log_expected`: float32 [m], as `trainer.losses.listwise` takes it.
    """
    clicked, drawn = at
    distinct, first, counts = np.unique(drawn, return_index=True, return_counts=True)
    column = np.full(len(found.items), -1, dtype=np.int64)
    column[distinct] = np.arange(len(distinct))
    more = torch.from_numpy(np.log(counts).astype(np.float32) - log_expected[first])
    where = torch.from_numpy(distinct)
    return Competing(found.items[where], found.biases[where] + more, column[clicked])


def sampled_softmax(users: Tensor, clicked: Tensor, others: Competing) -> Tensor:
    """Return the mean over the batch of log(e^clicked + sum of e^others) - clicked.

    `users`: float32 [n, d], user vectors; `clicked`: float32 [n], the score of the clicked item.
    """
    loss: Tensor = _SampledSoftmax.apply(users, clicked, others.vectors, others.offsets, others.hits)[0]
    return loss


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(users: Tensor, clicked: Tensor, vectors: Tensor, offsets: Tensor, hits: Integers) -> tuple[Tensor, ...]:
        """Return the loss, and what `backward` needs: e^others and e^clicked relative to the largest, and their sums.

        Relative to the largest score of its row, none overflows.
        """
        scores = torch.addmm(offsets, users, vectors.T)
        rows = torch.from_numpy((hits >= 0).nonzero()[0])
        scores[rows, torch.from_numpy(hits)[rows]] = -torch.inf
        largest = torch.maximum(scores.amax(1), clicked)
        scores.sub_(largest[:, None]).exp_()
        own = (clicked - largest).exp_()
        total = scores.sum(1).add_(own)
        return (total.log() + largest - clicked).mean(), scores, own, total

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep the matrix as it is: nothing else has it."""
        context.mark_non_differentiable(*output[1:])
        context.set_materialize_grads(False)
        context.save_for_backward(inputs[0], inputs[2], *output[1:])

    @staticmethod
    def backward(context: Any, gradient: Tensor, *nothing: None) -> tuple[Tensor | None, ...]:
        """The gradient of a score is its share of the total, less one for the clicked item."""
        users, vectors, scores, own, total = context.saved_tensors
        scale = gradient / (len(total) * total)
        of_clicked = own * scale - gradient / len(total)
        of_users = (scores @ vectors).mul_(scale[:, None])
        return of_users, of_clicked, scores.T @ (users * scale[:, None]), scores.T @ scale, None
