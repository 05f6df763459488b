"""All parameters of a full retrain and its steps: dense Adam for the towers, sparse Adam for the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from contracts.arrays import Floats, Integers
from trainer.losses import listwise
from trainer.negatives import CountSampler, numbers_of
from trainer.settings import FullRetrain
from trainer.towers import TwoTowers, no_features

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingDay:
    """A day as the model eats it.

    `users`, `items`: positions in the tables, int64 [n]; `codes` int64 [n, F]; `numbers` float32 [n, C].
    """

    name: str
    users: Integers
    items: Integers
    codes: Integers
    numbers: Floats

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class StartingRows:
    """The rows before training: `common` float32 [d], `own` [users, d], `items` [items, d], `biases` [items]."""

    common: Floats
    own: Floats
    items: Floats
    biases: Floats


class FullModel:
    """The towers and their tables, and both optimisers; `train` runs one day."""

    def __init__(self, towers: TwoTowers, rows: StartingRows, settings: FullRetrain) -> None:
        self.towers, self._settings = towers, settings
        self.common = nn.Parameter(torch.tensor(rows.common))
        self.own, self.items, self.biases = _table(rows.own), _table(rows.items), _table(rows.biases[:, None])
        self._dense = torch.optim.Adam(
            [
                {"params": list(towers.parameters()), "lr": settings.dense_step},
                {"params": [self.common], "lr": settings.row_step},
            ]
        )
        tables = [table.weight for table in (self.own, self.items, self.biases)]
        self._sparse = torch.optim.SparseAdam(tables, lr=settings.row_step)

    def train(self, day: TrainingDay, progress: Callable[[int, int], None]) -> float:
        """Run one epoch over the day, shuffled as a whole; return the mean loss (nats)."""
        settings, total = self._settings, 0.0
        clicks = np.bincount(day.items, minlength=self.items.num_embeddings).astype(np.float64)
        sampler = CountSampler(np.maximum(clicks, 1.0))
        order = numbers_of(f"shuffle {settings.seed} {day.name}", 0).permutation(len(day))
        steps = min(len(day), max(settings.min_steps, math.ceil(len(day) / settings.batch)))
        for step, batch in enumerate(np.array_split(order, steps)):
            numbers = numbers_of(f"step {settings.seed} {day.name}", step)
            negatives = sampler.draw(numbers, settings.negatives)
            keep = numbers.random(len(batch)) >= settings.id_dropout
            loss = self._loss(_part(day, batch), negatives, sampler.log_expected(negatives), keep)
            self._step(loss)
            total += loss.item() * len(batch)
            progress(step + 1, steps)
        return total / len(day)

    def finished_rows(self) -> StartingRows:
        """Return the rows as they are now."""
        return StartingRows(
            self.common.numpy(force=True).copy(),
            self.own.weight.numpy(force=True).copy(),
            self.items.weight.numpy(force=True).copy(),
            self.biases.weight.numpy(force=True)[:, 0].copy(),
        )

    def _loss(self, day: TrainingDay, negatives: Integers, log_expected: Floats, keep: Flags) -> Tensor:
        items, drawn = torch.from_numpy(day.items), torch.from_numpy(negatives)
        own = self.own(torch.from_numpy(day.users)) * torch.from_numpy(keep)[:, None]
        vectors = self.towers.user(self.common + own, torch.from_numpy(day.codes), torch.from_numpy(day.numbers))
        clicked = (vectors * self._item_vectors(items)).sum(1) + self.biases(items)[:, 0]
        others = vectors @ self._item_vectors(drawn).T + self.biases(drawn)[:, 0]
        return listwise(clicked, others, torch.from_numpy(log_expected), items[:, None] == drawn[None, :])

    def _item_vectors(self, positions: Tensor) -> Tensor:
        vectors: Tensor = self.towers.item(self.items(positions), *no_features(len(positions)))
        return vectors

    def _step(self, loss: Tensor) -> None:
        for optimiser in (self._dense, self._sparse):
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in (self._dense, self._sparse):
            optimiser.step()


def item_vectors(towers: TwoTowers, embeddings: Floats) -> Floats:
    """Return the vectors of all items, float32 [n, d], from their id embeddings."""
    with torch.no_grad():
        vectors: Tensor = towers.item(torch.from_numpy(embeddings), *no_features(len(embeddings)))
    return vectors.numpy()


def _table(rows: Floats) -> nn.Embedding:
    return nn.Embedding(rows.shape[0], rows.shape[1], sparse=True, _weight=torch.tensor(rows))


def _part(day: TrainingDay, at: Integers) -> TrainingDay:
    return TrainingDay(day.name, day.users[at], day.items[at], day.codes[at], day.numbers[at])
