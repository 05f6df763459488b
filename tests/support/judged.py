"""A small log set up to be judged: a base on its first two days, and every arm on the third."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contracts.bases import OpenBase
from contracts.layout import Layout
from tests.support.tastes import DAYS, Tastes, write_tastes
from tests.support.trained import small_settings, train
from trainer.calibration import Trial
from trainer.evaluation.arms import Choices
from trainer.evaluation.day import LogDay, read_log_day
from trainer.evaluation.stage import Stage, set_up
from trainer.training_days import open_topic

THREE_DAYS = Tastes(days=3, users=60, clicks_per_day=900)
WINDOW_MS = 7_200_000
ONLINE = {"own_step": 0.5, "common_step": 0.3, "negatives": 32}


@dataclass(frozen=True)
class SmallLog:
    """Three days of a log under `layout`, and the base on the first two."""

    layout: Layout
    base: OpenBase
    days: tuple[LogDay, ...]

    def stage(self, day: LogDay | None = None, partitions: int = 1) -> Stage:
        """Return the stage of the third day, or of another one in its place."""
        return set_up(self.base, self.days[:2], day or self.days[2], (partitions, WINDOW_MS))


def small_log(layout: Layout, tastes: Tastes = THREE_DAYS) -> SmallLog:
    """Write the log, train, and read the days."""
    write_tastes(layout, tastes)
    settings = small_settings(online=ONLINE)
    first = train(layout, DAYS[0], settings=settings)
    base = train(layout, DAYS[1], parent=first.manifest.base_id, settings=settings)
    topic = open_topic(layout, "events")
    days = tuple(read_log_day(topic, day, "UTC") for day in DAYS)
    return SmallLog(layout, base, days)


def choices(base: OpenBase) -> Choices:
    """Return the base's own settings for everything, popularity weighing one."""
    trial = Trial(base.manifest.online, base.manifest.own_scale)
    return Choices(trial, trial.changed({"beta": 0.0, "bias_weight": 1.0}), 1.0, 1.0)


def shuffled_future(day: LogDay, after: int, seed: int) -> LogDay:
    """Return the day with what was clicked, by whom and in what context shuffled among the samples from `after` on.

    When samples were emitted stays as it is: `after` (ms) is the first moment of which another future is told.
    """
    samples = day.samples
    order = np.arange(len(samples))
    future = np.flatnonzero(samples.watermarks >= after)
    dice = np.random.default_rng(seed)
    users, items = order.copy(), order.copy()
    users[future], items[future] = dice.permutation(future), dice.permutation(future)
    mixed = replace(
        samples,
        users=[samples.users[at] for at in users.tolist()],
        items=[samples.items[at] for at in items.tolist()],
        contexts=[samples.contexts[at] for at in users.tolist()],
    )
    return replace(day, samples=mixed)
