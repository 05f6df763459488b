"""Adam on the rows of a table that a batch touched, and on no others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from contracts.arrays import Integers

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8


class RowAdam:
    """One table and the moments of its rows: `torch.optim.SparseAdam` to rounding.

    (Kingma and Ba 2015, "Adam", algorithm 1, on touched rows alone.) That takes a gradient with repeated rows and sorts
    and sums it; here each touched row is gathered once, so that the gradient comes back summed. Between `gather` and
    `step` the same positions must be given, each of them once.
    """

    def __init__(self, table: nn.Embedding, step_size: float) -> None:
        self._weight, self._step_size, self._steps = table.weight.detach(), step_size, 0
        self._first, self._second = torch.zeros_like(self._weight), torch.zeros_like(self._weight)

    def gather(self, positions: Integers) -> Tensor:
        """Return the rows at distinct `positions`, int64 [n], float32 [n, d], as a leaf that collects a gradient."""
        return self._weight[torch.from_numpy(positions)].requires_grad_()

    def step(self, positions: Integers, rows: Tensor) -> None:
        """Move the rows that `gather` returned against their gradient, if there is one."""
        gradient = rows.grad
        self._steps += 1
        if gradient is None:
            return
        at = torch.from_numpy(positions)
        first = self._first[at].lerp_(gradient, 1 - FIRST)
        second = self._second[at].mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
        self._first.index_copy_(0, at, first)
        self._second.index_copy_(0, at, second)
        size = self._step_size * math.sqrt(1 - SECOND**self._steps) / (1 - FIRST**self._steps)
        moved = rows.detach().addcdiv_(first, second.sqrt_().add_(TINY), value=-size)
        self._weight.index_copy_(0, at, moved)
