"""The peer of `online_step`: user rows learned by a plain torch loop, `nn.Embedding(sparse=True)` and Adagrad.

Frozen item vectors, dot product, one softmax over the clicked item and 1,024 negatives that a batch shares, drawn by
clicks^0.75 with logQ. It gets positions where ours gets ids, scores nothing beforehand, and keeps nothing on disk.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

NEGATIVES = 1024
BATCHES = (256, 1024, 4096)
_WARM_UP = 3
_Step = Callable[[nn.Embedding, torch.optim.Optimizer, "Clicks", slice, Tensor], None]


@dataclass(frozen=True)
class Clicks:
    """What the loop learns: `users` and `items`, int64 [n], are positions in tables of `user_count` and N rows.

    `vectors`: float32 [N, d]; `weights`: float32 [N], what negatives are drawn by.
    """

    users: Tensor
    items: Tensor
    user_count: int
    vectors: Tensor
    weights: Tensor


def torch_rate(clicks: Clicks, batch: int) -> float:
    """Return samples/s with batches of `batch` and shared negatives, on as many threads as torch has been given."""
    return _rate(clicks, batch, _step)


def in_batch_rate(clicks: Clicks, batch: int) -> float:
    """Return samples/s where each batch's clicked items are the negatives of the others."""
    return _rate(clicks, batch, _in_batch_step)


def _rate(clicks: Clicks, batch: int, step: _Step) -> float:
    table = nn.Embedding(clicks.user_count, clicks.vectors.shape[1], sparse=True)
    nn.init.zeros_(table.weight)
    optimizer = torch.optim.Adagrad(table.parameters(), lr=0.05)
    log_share = torch.log(clicks.weights / clicks.weights.sum())
    starts = range(0, len(clicks.users) - batch + 1, batch)
    checked = torch.sparse.check_sparse_tensor_invariants(enable=False)  # type: ignore[no-untyped-call]
    with checked:  # torch's default, said aloud: else it warns
        for _ in range(_WARM_UP):
            step(table, optimizer, clicks, slice(0, batch), log_share)
        started = time.perf_counter()
        for start in starts:
            step(table, optimizer, clicks, slice(start, start + batch), log_share)
        return len(starts) * batch / (time.perf_counter() - started)


def _step(
    table: nn.Embedding, optimizer: torch.optim.Optimizer, clicks: Clicks, part: slice, log_share: Tensor
) -> None:
    users, items = clicks.users[part], clicks.items[part]
    drawn = torch.multinomial(clicks.weights, NEGATIVES, replacement=True)
    h = table(users)
    clicked = (h * clicks.vectors[items]).sum(1, keepdim=True)
    others = h @ clicks.vectors[drawn].T - (log_share[drawn] + math.log(NEGATIVES))
    _descend(functional.cross_entropy(torch.cat([clicked, others], dim=1), torch.zeros_like(items)), optimizer)


def _in_batch_step(
    table: nn.Embedding, optimizer: torch.optim.Optimizer, clicks: Clicks, part: slice, log_share: Tensor
) -> None:
    items = clicks.items[part]
    logits = table(clicks.users[part]) @ clicks.vectors[items].T - log_share[items]
    _descend(functional.cross_entropy(logits, torch.arange(len(items))), optimizer)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
