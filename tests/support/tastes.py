"""A small log of drifting tastes as samples: what the trainer's tests learn from, without a stream before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.events import Context
from contracts.layout import Layout
from contracts.samples import Sample
from tests.support.shards import Log, click, write_log

DAY_MS = 86_400_000
MIDNIGHT = 1_736_121_600_000  # 2025-01-06 00:00 UTC
DAYS = ("2025-01-06", "2025-01-07", "2025-01-08")


@dataclass(frozen=True)
class Tastes:
    """Items come in topics; a user clicks items of one topic a day, and of another one the next day.

    Every fifth user of a day is new. `with_context`: clicks carry a discrete and a continuous feature.
    """

    users: int = 40
    topics: int = 8
    items_per_topic: int = 10
    clicks_per_day: int = 600
    days: int = 2
    seed: int = 7
    with_context: bool = True

    def samples(self) -> list[Sample]:
        """Return the samples of all days, in order of time."""
        return [sample for day in range(self.days) for sample in self.day(day)]

    def day(self, day: int) -> list[Sample]:
        """Return one day's samples."""
        rng = np.random.default_rng((self.seed, day))
        times = MIDNIGHT + day * DAY_MS + np.sort(rng.integers(0, DAY_MS, self.clicks_per_day))
        return [self._click(rng, day, int(time)) for time in times]

    def topic_of(self, user: int, day: int) -> int:
        """Return the topic that a user is fond of on a day."""
        return (user * 3 + day * 5) % self.topics

    def _click(self, rng: np.random.Generator, day: int, time: int) -> Sample:
        user = int(rng.integers(self.users))
        topic = self.topic_of(user, day) if rng.random() < 0.9 else int(rng.integers(self.topics))
        item = int(rng.integers(self.items_per_topic))
        generation = day if user % 5 == 0 else 0
        context = Context({"device": ("phone", "desktop")[user % 2]}, {"hour": float(time % DAY_MS // 3_600_000)})
        used = context if self.with_context else Context()
        return click(f"u{user}.{generation}", f"i{topic}.{item}", time, used)


def write_tastes(layout: Layout, tastes: Tastes, log: Log = Log(), sizes: tuple[int, ...] = (100,)) -> None:  # noqa: B008
    """Write the whole log as shards under `layout`; every partition ends at the last midnight."""
    write_log(layout, log, tastes.samples(), MIDNIGHT + tastes.days * DAY_MS, sizes)
