"""The first pass over the days of a retrain: all that has to be counted before anything can be encoded.

Memory holds what the base will hold: users, items and features; never the samples.
"""

from __future__ import annotations

from contracts.bases import OpenBase
from contracts.trend import weight
from trainer import cut_state, lineage
from trainer.cut_state import NOTHING, Evidence
from trainer.day_statistics import DayDescription, DayStatistics
from trainer.training_days import DaySamples
from trainer.vocabulary import FeatureCounts


class Scan:
    """Counts over the days since `parent`, in order; `trend`: half-life and the time (ms) that counts refer to.

    Call `begin` for each day, `add` for its samples in order, `end` for its statistics.
    """

    def __init__(self, parent: OpenBase | None, trend: tuple[int, int]) -> None:
        self._half_life, self._t0 = trend
        self.item_counts = lineage.item_counts(parent) if parent else {}
        self.parent_users = set(parent.rows.users) if parent else set[str]()
        self.features = FeatureCounts()
        self.evidence: dict[str, Evidence] = cut_state.of_parent(parent)
        self._trend = cut_state.carried(parent, self._half_life, self._t0)
        self._day = DayDescription("")
        self.samples = 0

    def begin(self, name: str) -> None:
        """A day begins."""
        self._day = DayDescription(name)

    def add(self, chunk: DaySamples) -> None:
        """Count consecutive samples of the day."""
        evidence, counts, trend = self.evidence, self.item_counts, self._trend
        self._day.add(chunk, evidence, counts)
        for user, item, time in zip(chunk.users, chunk.items, chunk.click_times.tolist(), strict=True):
            evidence[user] = evidence.get(user, NOTHING).after(item, time)
            counts[item] = counts.get(item, 0.0) + 1.0
            trend[item] = trend.get(item, 0.0) + weight(time, self._t0, self._half_life)
        self.features.add(chunk.contexts)
        self.samples += len(chunk.users)

    def end(self) -> DayStatistics:
        """The day is through: return what it looked like against the days before."""
        return self._day.done()

    def new_users(self) -> list[str]:
        """Return the users that the parent does not know, sorted."""
        return sorted(user for user in self.evidence if user not in self.parent_users)

    def trend(self) -> dict[str, float]:
        """Return the counts at the cut; negligible ones are left out."""
        return {item: count for item, count in self._trend.items() if count >= cut_state.NEGLIGIBLE}
