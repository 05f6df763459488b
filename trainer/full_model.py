"""All parameters of a full retrain and its steps: dense Adam for the towers, sparse Adam for the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from contracts.arrays import Flags, Floats, Integers
from trainer.distinct_rows import distinct_rows
from trainer.epoch import Epoch, TrainingRows
from trainer.item_content import Content
from trainer.negatives import CountSampler, numbers_of
from trainer.objective import batch_loss, hard_loss, loss_of
from trainer.row_adam import RowAdam
from trainer.sampled_softmax import BatchScores, competing, sampled_softmax
from trainer.settings import FullRetrain
from trainer.towers import TwoTowers, user_vector

NO_HARD = np.zeros((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class StartingRows:
    """The rows before training: `common` float32 [d], `own` [users, d], `items` [items, d], `biases` [items]."""

    common: Floats
    own: Floats
    items: Floats
    biases: Floats


class FullModel:
    """The towers and their tables, and both optimisers; `train` runs one day. `content`: of all items."""

    def __init__(self, towers: TwoTowers, rows: StartingRows, content: Content, settings: FullRetrain) -> None:
        self.towers, self._content, self._settings = towers, content, settings
        self.common = nn.Parameter(torch.tensor(rows.common))
        self.own, self.items, self.biases = _table(rows.own), _table(rows.items), _table(rows.biases[:, None])
        self._dense = torch.optim.Adam(
            [
                {"params": list(towers.parameters()), "lr": settings.dense_step},
                {"params": [self.common], "lr": settings.row_step},
            ],
            fused=True,
        )
        self._own, self._items, self._biases = (
            RowAdam(table, settings.row_step) for table in (self.own, self.items, self.biases)
        )

    def train(self, day: Epoch, progress: Callable[[int, int], None]) -> float:
        """Run one epoch over the day, in the random order that it comes in; return the mean loss (nats)."""
        settings, total = self._settings, 0.0
        draw = self._drawing(day)
        steps = min(day.size, max(settings.min_steps, math.ceil(day.size / settings.batch)))
        for step, batch in enumerate(day.batches(steps)):
            numbers = numbers_of(f"step {settings.seed} {day.name}", step)
            drawn = draw(numbers, batch)
            keep = numbers.random(len(batch)) >= settings.id_dropout
            total += self._learn(batch, drawn, keep) * len(batch)
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
            return found, sampler.log_expected(found, len(found))

        return drawn

    def _learn(self, batch: TrainingRows, negatives: tuple[Integers, Floats], keep: Flags) -> float:
        """Make one step on all parameters that the batch touches; return its loss."""
        users, user_at = np.unique(batch.users, return_inverse=True)
        hard = np.where(batch.hard == batch.items[:, None], -1, batch.hard) if self._settings.hard_share else NO_HARD
        items, item_at = np.unique(np.concatenate([batch.items, negatives[0], hard[hard >= 0]]), return_inverse=True)
        own, rows, biases = self._own.gather(users), self._items.gather(items), self._biases.gather(items)
        id_embedding = self.common + own[torch.from_numpy(user_at)] * torch.from_numpy(keep)[:, None]
        vectors = user_vector(id_embedding + self._context_vectors(batch), self.towers.user.towers)
        found = BatchScores(vectors, self.towers.item(rows, *self._content.inputs(items)), biases[:, 0])
        clicked_at, drawn_at, hard_at = np.split(item_at, np.cumsum([len(batch), len(negatives[0])]))
        clicked = found.of(clicked_at)
        loss = self._easy_loss(found, clicked, (clicked_at, drawn_at), negatives[1])
        if len(hard_at):
            at = np.zeros_like(hard)
            at[hard >= 0] = hard_at
            others = hard_loss(clicked, found.of(at), torch.from_numpy(hard >= 0), self._settings)
            loss = batch_loss(loss, others, self._settings)
        self._dense.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._dense.step()
        for adam, at, touched in ((self._own, users, own), (self._items, items, rows), (self._biases, items, biases)):
            adam.step(at, touched)
        return loss.item()

    def _context_vectors(self, batch: TrainingRows) -> Tensor:
        first, at = distinct_rows(batch.codes, batch.numbers)
        inputs = torch.from_numpy(batch.codes[first]), torch.from_numpy(batch.numbers[first])
        return self.towers.user.context_vector(*inputs)[torch.from_numpy(at)]

    def _easy_loss(
        self, found: BatchScores, clicked: Tensor, at: tuple[Integers, Integers], log_expected: Floats
    ) -> Tensor:
        """Return the loss on shared negatives; `at`: where clicked and drawn items stand among those of the batch."""
        if self._settings.objective == "listwise":
            return sampled_softmax(found.users, clicked, competing(found, at, log_expected))
        usable = torch.from_numpy(at[0][:, None] != at[1][None, :])
        drawn = torch.from_numpy(at[1])
        scores = (found.users @ found.items.T + found.biases)[:, drawn]
        return loss_of(clicked, scores, torch.from_numpy(log_expected), usable, self._settings)


def item_vectors(towers: TwoTowers, embeddings: Floats, content: Content) -> Floats:
    """Return the vectors of all items, float32 [n, d], from their id embeddings and content."""
    with torch.no_grad():
        vectors: Tensor = towers.item(torch.from_numpy(embeddings), *content.inputs())
    return vectors.numpy()


def _table(rows: Floats) -> nn.Embedding:
    return nn.Embedding(rows.shape[0], rows.shape[1], _weight=torch.tensor(rows), _freeze=True)
