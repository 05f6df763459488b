"""Arms asked for a day's clicks, window by window, each before it may learn them.

A window's clicks are scored with what was known when it began; then they are learned (Dawid 1984's prequential
principle, by the publish interval). What a user's ring of the last clicked items holds at the window's start is not
shown again, by any arm, so that a click on it is a miss for all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.arrays import Flags, Floats, Integers
from contracts.rows import last_distinct
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Arm, Asked, Clicks
from trainer.negatives import numbers_of

PART = 512
TOP = 20
TAIL_EVERY = 8
AUC_NEGATIVES = 100
NOT_SCORED = -1
MISSED = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Masks:
    """What is not shown again: of click n the candidates `items[ends[n - 1]:ends[n]]`, int64."""

    ends: Integers
    items: Integers

    def of(self, clicks: Integers) -> tuple[Integers, Integers]:
        """Return rows (positions in `clicks`) and candidates, pair by pair."""
        starts = np.where(clicks > 0, self.ends[clicks - 1], 0)
        lengths = self.ends[clicks] - starts
        rows = np.repeat(np.arange(len(clicks)), lengths)
        inside = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return rows, self.items[starts[rows] + inside]


@dataclass(frozen=True)
class JudgedDay:
    """A day to be judged. `window_ends`: int64 [windows], where the clicks of each window end; the windows are
    `interval_ms` long from `start` (ms) on, by emission. `tail`: bool [candidates], items outside the popular ones."""

    clicks: Clicks
    start: int
    interval_ms: int
    window_ends: Integers
    candidates: int
    masks: Masks
    tail: Flags

    @property
    def known(self) -> Flags:
        """Which clicks are on candidates, bool [n]."""
        return np.asarray(self.clicks.items != NOT_A_CANDIDATE, dtype=np.bool_)

    def windows(self) -> Iterator[tuple[int, int, int]]:
        """Yield the start of each window (ms) and the span of its clicks."""
        first = 0
        for number, end in enumerate(self.window_ends.tolist()):
            yield self.start + number * self.interval_ms, first, end
            first = end


@dataclass(frozen=True)
class Judged:
    """How an arm did.

    `ranks`: int32 [n], how many candidates were not behind the clicked one: 0 is best, `MISSED` where it was masked or
    scored no number, `NOT_SCORED` where it is no candidate. `auc`: float32 [n], share of drawn candidates behind it.
    `tails`: float32 [n], share of tail items among the first 20; NaN where nobody looked: it is taken of every eighth
    click. `learning_s`, `scoring_s`: seconds.
    """

    ranks: npt.NDArray[np.int32]
    auc: Floats
    tails: Floats
    learning_s: float
    scoring_s: float


def judged_day(
    clicks: Clicks, watermarks: Integers, span: tuple[int, int, int], rings: list[list[int]], tail: Flags
) -> JudgedDay:
    """Return the day of clicks emitted at `watermarks`, int64 [n], ascending; `span`: start, end and interval in ms.

    `rings`: by user code, the candidates (or `NOT_A_CANDIDATE`) that the user clicked before the day, newest last.
    """
    start, end, interval = span
    edges = np.arange(start + interval, end + interval, interval)
    window_ends = np.searchsorted(watermarks, edges, side="left").astype(np.int64)
    return JudgedDay(clicks, start, interval, window_ends, len(tail), _masks(clicks, window_ends, rings), tail)


def _masks(clicks: Clicks, window_ends: Integers, rings: list[list[int]]) -> Masks:
    now = [list(ring) for ring in rings]
    users, items = clicks.users.tolist(), clicks.items.tolist()
    found: list[int] = []
    ends: list[int] = []
    first = 0
    for end in window_ends.tolist():
        for at in range(first, end):
            found += [item for item in last_distinct(now[users[at]]) if item != NOT_A_CANDIDATE]
            ends.append(len(found))
        for at in range(first, end):
            now[users[at]].append(items[at])
        first = end
    return Masks(np.array(ends, dtype=np.int64), np.array(found, dtype=np.int64))


def judge_one(arm: Arm, day: JudgedDay) -> Judged:
    """Ask an arm for every window, and let it learn each one after it was scored."""
    count, on_candidates = len(day.clicks), day.known
    ranks = np.full(count, NOT_SCORED, np.int32)
    auc, tails = np.zeros(count, np.float32), np.full(count, np.nan, np.float32)
    scoring = learning = 0.0
    for number, (now, first, end) in enumerate(day.windows()):
        began = time.perf_counter()
        drawn = numbers_of("auc", number).integers(day.candidates, size=AUC_NEGATIVES)
        known = first + np.flatnonzero(on_candidates[first:end])
        for at in np.split(known, range(PART, len(known), PART)):
            scores = _masked(arm.scores(Asked(day.clicks.users[at], at, now)), at, day)
            clicked = scores[np.arange(len(at)), day.clicks.items[at]]
            ranks[at] = _ranks(scores, clicked)
            auc[at] = (scores[:, drawn] < clicked[:, None]).mean(axis=1) if len(at) else 0
            some = np.flatnonzero(at % TAIL_EVERY == 0)
            if len(some):
                tails[at[some]] = _tail_share(scores[some], day.tail)
        scored = time.perf_counter()
        arm.learn(day.clicks.part(first, end))
        scoring, learning = scoring + scored - began, learning + time.perf_counter() - scored
    return Judged(ranks, auc, tails, learning, scoring)


def _masked(scores: Floats, at: Integers, day: JudgedDay) -> Floats:
    masked = np.where(np.isnan(scores), np.float32(-np.inf), scores) if np.isnan(scores).any() else scores.copy()
    masked[day.masks.of(at)] = -np.inf
    return masked


def _ranks(scores: Floats, clicked: Floats) -> npt.NDArray[np.int32]:
    """Equal scores count against the arm."""
    ahead = np.count_nonzero(scores >= clicked[:, None], axis=1) - 1
    return np.where(np.isfinite(clicked), ahead, MISSED).astype(np.int32)


def _tail_share(scores: Floats, tail: Flags) -> Floats:
    top = min(TOP, scores.shape[1])
    first = np.argpartition(scores, -top, axis=1)[:, -top:]
    return np.asarray(tail[first].mean(axis=1), dtype=np.float32)
