"""The peer of `online_step`: user rows learned by a plain torch loop, `nn.Embedding(sparse=True)` and Adagrad.

Frozen item vectors, dot product, one softmax over the clicked item and 1,024 negatives that a batch shares, drawn by
clicks^0.75 with logQ. It gets positions where ours gets ids, scores nothing beforehand, and keeps nothing on disk.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

NEGATIVES = 1024
BATCHES = (256, 1024, 4096)
_WARM_UP = 3


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
    """Return samples/s of one pass with batches of `batch`, on as many threads as torch has been given."""
    table = nn.Embedding(clicks.user_count, clicks.vectors.shape[1], sparse=True)
    nn.init.zeros_(table.weight)
    optimizer = torch.optim.Adagrad(table.parameters(), lr=0.05)
    log_expected = torch.log(clicks.weights / clicks.weights.sum() * NEGATIVES)
    starts = range(0, len(clicks.users) - batch + 1, batch)
    checked = torch.sparse.check_sparse_tensor_invariants(enable=False)  # type: ignore[no-untyped-call]
    with checked:  # torch's default, said aloud: else it warns
        for _ in range(_WARM_UP):
            _step(table, optimizer, clicks, slice(0, batch), log_expected)
        started = time.perf_counter()
        for start in starts:
            _step(table, optimizer, clicks, slice(start, start + batch), log_expected)
        return len(starts) * batch / (time.perf_counter() - started)


def _step(
    table: nn.Embedding, optimizer: torch.optim.Optimizer, clicks: Clicks, part: slice, log_expected: Tensor
) -> None:
    users, items = clicks.users[part], clicks.items[part]
    drawn = torch.multinomial(clicks.weights, NEGATIVES, replacement=True)
    h = table(users)
    clicked = (h * clicks.vectors[items]).sum(1, keepdim=True)
    others = h @ clicks.vectors[drawn].T - log_expected[drawn]
    loss = functional.cross_entropy(torch.cat([clicked, others], dim=1), torch.zeros_like(items))
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
