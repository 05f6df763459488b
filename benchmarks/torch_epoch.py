"""The peer of `full_retrain`: the same towers in plain torch, fed by a Dataset and a DataLoader with its own collate.

Rows in `nn.Embedding(sparse=True)` under SparseAdam, dense parameters under Adam, one softmax over the clicked item and
1,024 negatives that a batch shares, drawn by clicks^0.75 with logQ, accidental hits removed; or the batch's own items.
It is given arrays in memory, or reads the shards with the tfrecord package.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tfrecord
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from contracts.arrays import Floats, Integers
from contracts.sample_columns import CONTINUOUS, DISCRETE
from trainer.epoch import TrainingRows
from trainer.full_model import StartingRows
from trainer.settings import FullRetrain
from trainer.starting_point import Known
from trainer.towers import TwoTowers

_Row = tuple[int, int, Integers, Floats]


@dataclass(frozen=True)
class Learned:
    """What an epoch came to: samples/s, and the mean loss (nats)."""

    rate: float
    loss: float


class Rows(Dataset[_Row]):
    """A day's samples in memory, one by one."""

    def __init__(self, rows: TrainingRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> _Row:
        rows = self._rows
        return int(rows.users[at]), int(rows.items[at]), rows.codes[at], rows.numbers[at]


class PlainModel:
    """Towers, tables and optimisers as one would write them."""

    def __init__(self, towers: TwoTowers, start: StartingRows, clicks: Integers, settings: FullRetrain) -> None:
        self.towers, self._settings = towers, settings
        self._common = nn.Parameter(torch.tensor(start.common))
        self._own, self._items, self._biases = map(_table, (start.own, start.items, start.biases[:, None]))
        dense = [
            {"params": list(towers.parameters()), "lr": settings.dense_step},
            {"params": [self._common], "lr": settings.row_step},
        ]
        rows = [table.weight for table in (self._own, self._items, self._biases)]
        self._optimisers = (torch.optim.Adam(dense), torch.optim.SparseAdam(rows, lr=settings.row_step))
        self._weights = torch.from_numpy(np.maximum(clicks, 1).astype(np.float32)) ** 0.75
        self._log_share = torch.log(self._weights / self._weights.sum())

    def users(self, users: Tensor, codes: Tensor, numbers: Tensor) -> Tensor:
        """Return user vectors, with id dropout."""
        keep = torch.rand(len(users), 1) >= self._settings.id_dropout
        vectors: Tensor = self.towers.user(self._common + self._own(users) * keep, codes, numbers)
        return vectors

    def shared(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the loss against negatives that the batch shares."""
        drawn = torch.multinomial(self._weights, self._settings.negatives, replacement=True)
        clicked = (users * self._vectors(items)).sum(1) + self._biases(items)[:, 0]
        others = users @ self._vectors(drawn).T + self._biases(drawn)[:, 0]
        others = others - (self._log_share[drawn] + math.log(self._settings.negatives))
        others = others.masked_fill(items[:, None] == drawn[None, :], -torch.inf)
        return functional.cross_entropy(torch.cat([clicked[:, None], others], dim=1), torch.zeros_like(items))

    def in_batch(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the loss against the other items of the batch."""
        logits = users @ self._vectors(items).T + self._biases(items)[:, 0] - self._log_share[items]
        return functional.cross_entropy(logits, torch.arange(len(items)))

    def descend(self, loss: Tensor) -> None:
        """Make a step."""
        for optimiser in self._optimisers:
            optimiser.zero_grad()
        torch.autograd.backward(loss)
        for optimiser in self._optimisers:
            optimiser.step()

    def _vectors(self, items: Tensor) -> Tensor:
        nothing = torch.zeros(len(items), 0, dtype=torch.int64), torch.zeros(len(items), 0)
        vectors: Tensor = self.towers.item(self._items(items), *nothing)
        return vectors


def epoch(
    model: PlainModel, rows: Rows, workers: int, loss_of: Callable[[Tensor, Tensor], Tensor], batch: int
) -> Learned:
    """Train one shuffled epoch; `workers`: of the DataLoader, 0 for none."""
    total, started = 0.0, time.perf_counter()
    with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
        for users, items, codes, numbers in DataLoader(rows, batch_size=batch, shuffle=True, num_workers=workers):
            loss = loss_of(model.users(users, codes, numbers), items)
            model.descend(loss)
            total += loss.item() * len(users)
    return Learned(len(rows) / (time.perf_counter() - started), total / len(rows))


def read(paths: Iterable[Path], known: Known) -> Rows:
    """Read a day's shards as one would: the tfrecord package's reader, and a dictionary per vocabulary.

    The vocabulary is given, and nothing is checked or counted. Samples of unknown items are left out, as ours are.
    """
    users, items = ({name.encode(): at for at, name in enumerate(names)} for names in (known.users, known.items))
    context = known.towers.context
    codes = [(f"{DISCRETE}{f.name}", {v.encode(): at for at, v in enumerate(f.values, 1)}) for f in context.discrete]
    numbers = [(f"{CONTINUOUS}{f.name}", f.mean, f.deviation) for f in context.continuous]
    found: list[tuple[int, int, list[int], list[float]]] = []
    for path in paths:
        for record in tfrecord.tfrecord_loader(str(path), None, None):
            item = items.get(record["item_id"])
            if item is not None:
                coded = [known_values.get(record.get(name, b""), 0) for name, known_values in codes]
                real = [
                    (float(record[n][0]) - mean) / deviation if n in record else 0.0 for n, mean, deviation in numbers
                ]
                found.append((users[record["user_id"]], item, coded, real))
    at_users, at_items, coded_all, real_all = zip(*found, strict=True)
    shape = len(found), len(numbers)
    return Rows(
        TrainingRows(
            np.array(at_users, dtype=np.int64),
            np.array(at_items, dtype=np.int64),
            np.array(coded_all, dtype=np.int64).reshape(len(found), len(codes)),
            np.array(real_all, dtype=np.float32).reshape(shape),
            np.zeros((len(found), 0), dtype=np.int64),
        )
    )


def _table(rows: Floats) -> nn.Embedding:
    return nn.Embedding(rows.shape[0], rows.shape[1], sparse=True, _weight=torch.tensor(rows))
