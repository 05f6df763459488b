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
from trainer.epoch import Epoch, TrainingRows
from trainer.negatives import CountSampler, numbers_of
from trainer.objective import batch_loss, hard_loss, loss_of
from trainer.settings import FullRetrain
from trainer.towers import TwoTowers, no_features

Flags = npt.NDArray[np.bool_]


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

    def train(self, day: Epoch, progress: Callable[[int, int], None]) -> float:
        """Run one epoch over the day, in the random order that it comes in; return the mean loss (nats)."""
        settings, total = self._settings, 0.0
        draw = self._drawing(day)
        steps = min(day.size, max(settings.min_steps, math.ceil(day.size / settings.batch)))
        for step, batch in enumerate(day.batches(steps)):
            numbers = numbers_of(f"step {settings.seed} {day.name}", step)
            drawn = draw(numbers, batch)
            keep = numbers.random(len(batch)) >= settings.id_dropout
            loss = self._loss(batch, drawn, keep)
            self._step(loss)
            total += loss.item() * len(batch)
            progress(step + 1, steps)
        return total / day.size

    def finished_rows(self) -> StartingRows:
        """Return the rows as they are now."""
        return StartingRows(
            self.common.numpy(force=True).copy(),
            self.own.weight.numpy(force=True).copy(),
            self.items.weight.numpy(force=True).copy(),
            self.biases.weight.numpy(force=True)[:, 0].copy(),
        )

    def _drawing(self, day: Epoch) -> Callable[[np.random.Generator, TrainingRows], tuple[Integers, Floats]]:
        """Return what draws the shared negatives of a batch, and the log of how often each is expected among them."""
        settings, clicks = self._settings, day.clicks
        if settings.negatives_from == "in_batch":
            share = np.log(np.maximum(clicks, 1) / day.size)
            return lambda numbers, part: (part.items, (share[part.items] + np.log(len(part))).astype(np.float32))
        even = settings.negatives_from == "uniform"
        sampler = CountSampler(np.ones(len(clicks)) if even else np.maximum(clicks.astype(np.float64), 1.0))

        def drawn(numbers: np.random.Generator, part: TrainingRows) -> tuple[Integers, Floats]:
            found = sampler.draw(numbers, settings.negatives)
            return found, sampler.log_expected(found)

        return drawn

    def _loss(self, day: TrainingRows, negatives: tuple[Integers, Floats], keep: Flags) -> Tensor:
        items, drawn = torch.from_numpy(day.items), torch.from_numpy(negatives[0])
        own = self.own(torch.from_numpy(day.users)) * torch.from_numpy(keep)[:, None]
        vectors = self.towers.user(self.common + own, torch.from_numpy(day.codes), torch.from_numpy(day.numbers))
        clicked = (vectors * self._item_vectors(items)).sum(1) + self.biases(items)[:, 0]
        others = vectors @ self._item_vectors(drawn).T + self.biases(drawn)[:, 0]
        usable = items[:, None] != drawn[None, :]
        easy = loss_of(clicked, others, torch.from_numpy(negatives[1]), usable, self._settings)
        rejected = torch.from_numpy(day.hard)
        if not self._settings.hard_share or not bool((rejected >= 0).any()):
            return easy
        there = (rejected >= 0) & (rejected != items[:, None])
        at = rejected.clamp_min(0).flatten()
        scores = (vectors[:, None, :] * self._item_vectors(at).view(*rejected.shape, -1)).sum(2)
        scores = scores + self.biases(at)[:, 0].view_as(scores)
        return batch_loss(easy, hard_loss(clicked, scores, there, self._settings), self._settings)

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
