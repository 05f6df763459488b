"""A base and the day after it, set up to be judged: codes, rings, masks, and the history that peers are built on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.arrays import Flags, Integers
from contracts.bases import OpenBase
from trainer import lineage
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Clicks, History
from trainer.evaluation.day import LogDay, folding
from trainer.evaluation.judge import JudgedDay, judged_day
from trainer.evaluation.rows import Ground
from trainer.evaluation.slices import popular_tail


@dataclass(frozen=True)
class Stage:
    """What arms of one base are judged on. Candidates are the base's items, in its order, for every arm alike.

    `row_at`: int64 [users], by code, where the base has a user's row, -1 for nowhere.
    """

    ground: Ground
    day: JudgedDay
    history: History
    row_at: Integers

    @property
    def known_users(self) -> Flags:
        """Whether the base has a user's row, bool [users], by code."""
        return np.asarray(self.row_at >= 0, dtype=np.bool_)


def set_up(base: OpenBase, before: Sequence[LogDay], day: LogDay, folds: tuple[int, int]) -> Stage:
    """Return the stage of `base`, whose last days are `before`, and the day after it; `folds`: partitions, interval ms.

    Nothing of the day itself enters but the clicks that are asked for: candidates, rings, the tail and the history come
    from the base and the days before.
    """
    partitions, interval_ms = folds
    codes = _Codes(base)
    history = tuple(codes.clicks(each) for each in before)
    clicks = codes.clicks(day)
    ground = Ground(base, day, folding(base, day, partitions, interval_ms), before[-1])
    counts = lineage.item_counts(base)
    trained = np.array([counts.get(item, 0.0) for item in base.items.ids]).astype(np.int64)
    span = (day.start, day.end, interval_ms)
    row_at = _integers([base.rows.position(user) for user in codes.users])
    judged = judged_day(clicks, day.samples.watermarks, span, _rings(base, row_at), popular_tail(trained))
    return Stage(ground, judged, History(history, len(row_at), len(trained)), row_at)


class _Codes:
    """Codes of users in the order of their first click, and positions of items among the candidates."""

    def __init__(self, base: OpenBase) -> None:
        self._item_at = {item: at for at, item in enumerate(base.items.ids)}
        self.users: dict[str, int] = {}

    def clicks(self, day: LogDay) -> Clicks:
        samples, users = day.samples, self.users
        codes = [users.setdefault(user, len(users)) for user in samples.users]
        items = [self._item_at.get(item, NOT_A_CANDIDATE) for item in samples.items]
        return Clicks(0, _integers(codes), _integers(items), samples.click_times)


def _rings(base: OpenBase, row_at: Integers) -> list[list[int]]:
    rows = base.rows
    item_at = {item: at for at, item in enumerate(base.items.ids)}
    candidates = _integers([item_at.get(item, NOT_A_CANDIDATE) for item in rows.rings.items])
    return [candidates[rows.ring_of(at)].tolist() if at >= 0 else [] for at in row_at.tolist()]


def _integers(values: list[int]) -> Integers:
    return np.array(values, dtype=np.int64)
