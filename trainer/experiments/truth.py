"""What the maker of a synthetic log knows of its users, and arms compared with it.

`synthetic_truth` of the sources, run as a process of its own, writes it into a file: stages meet through files.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contracts import durable
from contracts.arrays import Arrays, Floats, Integers
from contracts.bases import OpenBase
from contracts.errors import ProcessFailed
from trainer.evaluation.clicks import Arm, Asked, Clicks
from trainer.evaluation.judge import TOP, JudgedDay
from trainer.shard_feed import SampleColumns

MAKER = "streams.sources.synthetic_truth"
NOWHERE = -1


class Truth:
    """The truth behind every click: `shown` and `likes`, int64 [n, …], positions in `items`; see the maker's page."""

    def __init__(self, arrays: Arrays) -> None:
        users, self.items = arrays.texts("users"), arrays.texts("items")
        times = arrays.integers("times", len(users)).tolist()
        self._at = {key: at for at, key in enumerate(zip(users, times, strict=True))}
        self._shown = arrays.integers("shown", len(users), -1)
        self._likes = arrays.integers("likes", len(users), -1)

    def shown(self, user: str, time: int) -> tuple[str, ...]:
        """Return what the request behind a click (at `time`, ms) showed beside the clicked item; nothing if unknown."""
        at = self._at.get((user, time), NOWHERE)
        return tuple(self.items[item] for item in self._shown[at].tolist()) if at != NOWHERE else ()

    def likes(self, samples: SampleColumns, base: OpenBase) -> Integers:
        """Return what each sample's user was most likely to pick then, int64 [n, likes], positions in the base's items;
        `NOWHERE` for items that it does not know."""
        position = {item: at for at, item in enumerate(base.items.ids)}
        candidate = np.array([*(position.get(item, NOWHERE) for item in self.items), NOWHERE], dtype=np.int64)
        keys = zip(samples.users, samples.event_times.tolist(), strict=True)
        rows = np.array([self._at.get(key, NOWHERE) for key in keys], dtype=np.int64)
        likes = np.where(rows[:, None] == NOWHERE, len(self.items), self._likes[rows])
        found: Integers = candidate[likes]
        return found


def read_truth(path: Path, words: Sequence[str]) -> Truth:
    """Return the truth behind the synthetic log that these words make; its file is made where it is not there.

    Raises `ProcessFailed`, `Corrupt`.
    """
    if not path.exists():
        durable.make_directory(path.parent)
        command = [sys.executable, "-m", MAKER, str(path), *words]
        if subprocess.run(command, check=False).returncode:
            raise ProcessFailed("the truth behind the synthetic log could not be written")
    return Truth(Arrays(path.read_bytes(), str(path)))


class AgainstTruth:
    """An arm, and what share of what a user truly liked most is among its first answers to each click.

    `shares`: float32 [n], NaN for clicks that nobody asked about. `likes`: int64 [n, m], candidates.
    """

    def __init__(self, arm: Arm, day: JudgedDay, likes: Integers) -> None:
        self._arm, self._day, self._likes = arm, day, likes
        self.shares = np.full(len(likes), np.nan, np.float32)

    def scores(self, asked: Asked) -> Floats:
        """Return the arm's, float32 [n, candidates]."""
        found = self._arm.scores(asked)
        free = found.copy()
        free[self._day.masks.of(asked.at)] = -np.inf
        first = np.argpartition(free, -TOP, axis=1)[:, -TOP:]
        liked = (first[:, :, None] == self._likes[asked.at][:, None, :]).any(axis=1)
        self.shares[asked.at] = liked.mean(axis=1)
        return found

    def learn(self, clicks: Clicks) -> None:
        """Let the arm learn."""
        self._arm.learn(clicks)
