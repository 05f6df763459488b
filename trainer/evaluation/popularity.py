"""What everybody clicks: yesterday, or in the last hour; no user in it. And an arm with yesterday's mixed in."""

from __future__ import annotations

import numpy as np

from contracts.arrays import Doubles, Floats
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Arm, Asked, Clicks, History

HOUR_MS = 3_600_000
FLOOR = 0.3


def yesterdays_counts(history: History) -> Doubles:
    """Return the clicks of each candidate on the last day of the history, float64 [candidates]."""
    return _counts(history.days[-1], history.candidates)


class YesterdaysPopularity:
    """Clicks on the last day of the history: the same answer for everybody, all day."""

    def __init__(self, history: History) -> None:
        self._counts = yesterdays_counts(history).astype(np.float32)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        return np.broadcast_to(self._counts, (len(asked.users), len(self._counts)))

    def learn(self, clicks: Clicks) -> None:
        """Nothing is learned."""


class LastHourPopularity:
    """Clicks in the hour before the window, those of the history's end among them."""

    def __init__(self, history: History) -> None:
        self._candidates = history.candidates
        self._recent = [history.days[-1]]
        self._at, self._found = -1, np.zeros(history.candidates, np.float32)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        if asked.now != self._at:
            self._at, self._found = asked.now, self._last_hour(asked.now)
        return np.broadcast_to(self._found, (len(asked.users), self._candidates))

    def learn(self, clicks: Clicks) -> None:
        """Count the window's clicks."""
        self._recent.append(clicks)

    def _last_hour(self, now: int) -> Floats:
        self._recent = [each for each in self._recent if len(each) and int(each.times.max()) >= now - HOUR_MS]
        found = np.zeros(self._candidates)
        for each in self._recent:
            inside = np.flatnonzero((each.times >= now - HOUR_MS) & (each.times < now))
            found += _counts(Clicks(0, each.users[inside], each.items[inside], each.times[inside]), self._candidates)
        return found.astype(np.float32)


class MixedWithPopularity:
    """An arm's scores plus `weight` times the log of yesterday's clicks."""

    def __init__(self, arm: Arm, history: History, weight: float) -> None:
        self._arm = arm
        self._term = (weight * np.log(yesterdays_counts(history) + FLOOR)).astype(np.float32)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        return self._arm.scores(asked) + self._term

    def learn(self, clicks: Clicks) -> None:
        """Let the arm learn."""
        self._arm.learn(clicks)


def _counts(clicks: Clicks, candidates: int) -> Doubles:
    items = clicks.items[clicks.items != NOT_A_CANDIDATE]
    return np.bincount(items, minlength=candidates).astype(np.float64)
