"""The pass over the days of a retrain: counts all that must be known before anything can be encoded.

Memory holds what the base will hold, users, items and features; never the samples: those leave as rows of codes, in the
order of appearance, which `trainer.translation` turns into positions when the vocabulary is chosen. So a shard is read
once.
"""

from __future__ import annotations

import numpy as np

from contracts.arrays import Integers
from contracts.bases import OpenBase
from contracts.days import hours_of
from contracts.features import FeatureSpec
from trainer import lineage
from trainer.context_columns import ContextColumns, FeatureCounts
from trainer.cut_state import CutState, TrendState
from trainer.day_statistics import DayDescription
from trainer.epoch import TrainingRows
from trainer.last_day import DayByHour, pack_last_day
from trainer.text_codes import TextCodes, grown
from trainer.training_days import DaySamples


class Scan:
    """Counts over the days since `parent`, in order; `trend`: half-life and the time (ms) that counts refer to.

    Call `begin` for each day, `add` for its samples in order, `end` for what it looked like. `users` and `items` begin
    with the parent's, in its order. At most `most_hard` hard negatives of a sample are kept.
    """

    def __init__(self, parent: OpenBase | None, trend: tuple[int, int], most_hard: int, day_zone: str = "UTC") -> None:
        self.users = TextCodes(parent.rows.users if parent else ())
        self.items = TextCodes(parent.items.ids if parent else ())
        self.contexts, self.features = ContextColumns(), FeatureCounts()
        self._clicks = _counted(self.items, lineage.item_counts(parent) if parent else {})
        self.state, self.trend = CutState(parent, self.users, self.items), TrendState(parent, self.items, *trend)
        self._most_hard, self._zone, self.samples = most_hard, day_zone, 0
        self.begin("")

    def begin(self, name: str) -> None:
        """A day begins."""
        self._day, self._known_users, self._clicks_before = DayDescription(name), len(self.users), self._clicks.copy()
        self._by_hour = DayByHour()

    def add(self, chunk: DaySamples) -> TrainingRows:
        """Count consecutive samples of the day; return them in codes."""
        users, items = self.users.of(chunk.users), self.items.of(chunk.items)
        codes, numbers = self.contexts.of(chunk.contexts)
        rows = TrainingRows(users, items, codes, numbers, self._hard(chunk.rejected))
        self._clicks, self._clicks_before = (grown(c, len(self.items)) for c in (self._clicks, self._clicks_before))
        np.add.at(self._clicks, items, 1)
        self.state.add(users, items, chunk.click_times)
        self.trend.add(items, chunk.click_times)
        self._day.samples += len(rows)
        self._day.by_new_users += int(np.count_nonzero(users >= self._known_users))
        self._day.on_new_items += int(np.count_nonzero(self._clicks_before[items] == 0))
        for features in (self.features, self._day.features):
            features.add(self.contexts, codes, numbers)
        self._by_hour.add(self.contexts, (codes, numbers), hours_of(chunk.click_times, self._zone))
        self.samples += len(rows)
        return rows

    def end(self) -> tuple[DayDescription, Integers]:
        """The day is through: return what it looked like, and its clicks by item code, int64."""
        size = len(self.items)
        after, before = (grown(clicks, size)[:size] for clicks in (self._clicks, self._clicks_before))
        return self._day, after - before

    def last_day(self, clicks: Integers, spec: FeatureSpec) -> bytes:
        """Return the file of what the last day looked like, by its clicks as `end` gave them; see `LastDay`."""
        by_item = zip(self.items.texts(), clicks.tolist(), strict=False)
        return pack_last_day(spec, self.contexts, self._by_hour, dict(by_item))

    def item_counts(self) -> dict[str, float]:
        """Return the clicks of every item over the lineage."""
        found = zip(self.items.texts(), self._clicks.tolist(), strict=False)
        return {item: float(clicks) for item, clicks in found if clicks}

    def _hard(self, rejected: list[tuple[str, ...]]) -> Integers:
        hard = np.full((len(rejected), self._most_hard), -1, dtype=np.int64)
        for row in [at for at, items in enumerate(rejected) if items] if self._most_hard else []:
            some = rejected[row][: self._most_hard]
            hard[row, : len(some)] = self.items.of(list(some))
        return hard


def _counted(items: TextCodes, counts: dict[str, float]) -> Integers:
    codes = items.of(list(counts))
    clicks = np.zeros(len(items), np.int64)
    clicks[codes] = list(counts.values())
    return clicks
