"""Adam on touched rows, beside torch's."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from trainer.row_adam import RowAdam

ROWS, WIDTH = 7, 3


def tables() -> tuple[nn.Embedding, nn.Embedding]:
    weight = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1))
    plain = nn.Embedding(ROWS, WIDTH, sparse=True, _weight=weight.clone())
    return plain, nn.Embedding(ROWS, WIDTH, _weight=weight.clone(), _freeze=True)


def test_steps_on_touched_rows_are_those_of_torchs_sparse_adam() -> None:
    plain, ours = tables()
    reference, adam = torch.optim.SparseAdam([plain.weight], lr=0.05), RowAdam(ours, 0.05)
    dice = np.random.default_rng(1)
    for _ in range(20):
        touched = dice.integers(ROWS, size=5)
        wanted = torch.from_numpy(dice.normal(size=(5, WIDTH)).astype(np.float32))
        reference.zero_grad()
        torch.autograd.backward(((plain(torch.from_numpy(touched)) - wanted) ** 2).sum())
        reference.step()  # type: ignore[no-untyped-call]
        distinct, at = np.unique(touched, return_inverse=True)
        rows = adam.gather(distinct)
        torch.autograd.backward(((rows[torch.from_numpy(at)] - wanted) ** 2).sum())
        adam.step(distinct, rows)
    torch.testing.assert_close(ours.weight, plain.weight.detach(), rtol=1e-5, atol=1e-6)


def test_rows_that_were_not_touched_or_have_no_gradient_stay_as_they_are() -> None:
    _, table = tables()
    before, adam = table.weight.clone(), RowAdam(table, 0.05)
    nothing = adam.gather(np.array([0, 1]))
    adam.step(np.array([0, 1]), nothing)
    rows = adam.gather(np.array([2]))
    torch.autograd.backward(rows.sum())
    adam.step(np.array([2]), rows)
    changed = (table.weight != before).any(1)
    assert changed.tolist() == [at == 2 for at in range(ROWS)]
