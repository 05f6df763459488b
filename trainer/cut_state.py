"""What a base carries beside its parameters: each user's evidence and ring, and the trend counts, at its cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.rows import Row, pushed
from contracts.trend import weight
from trainer.training_days import DaySamples

NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What a user's clicks leave beside the row: how many, the last event time (ms), the ring."""

    clicks: int
    last_event_time: int
    ring: tuple[str, ...]

    def after(self, item: str, time: int) -> Evidence:
        """Return the evidence after one more click."""
        return Evidence(self.clicks + 1, max(self.last_event_time, time), pushed(self.ring, item))


NOTHING = Evidence(0, 0, ())


def fold_evidence(parents: Mapping[str, Row], days: Iterable[DaySamples]) -> dict[str, Evidence]:
    """Return the evidence of every user of the lineage after `days`."""
    evidence = {user: Evidence(row.clicks, row.last_event_time, row.ring) for user, row in parents.items()}
    for day in days:
        for user, item, time in zip(day.users, day.items, day.click_times.tolist(), strict=True):
            evidence[user] = evidence.get(user, NOTHING).after(item, time)
    return evidence


def carried_trend(parents: Mapping[str, float], parent_t0: int, t0: int, half_life_ms: int) -> dict[str, float]:
    """Return the parent's counts relative to the later `t0` (ms)."""
    factor = weight(parent_t0, t0, half_life_ms)
    return {item: count * factor for item, count in parents.items()}


def fold_trend(before: Mapping[str, float], days: Iterable[DaySamples], t0: int, half_life_ms: int) -> dict[str, float]:
    """Return the counts at the cut `t0` (ms): those `before` and the clicks of `days`; negligible ones are dropped."""
    counts = dict(before)
    for day in days:
        for item, time in zip(day.items, day.click_times.tolist(), strict=True):
            counts[item] = counts.get(item, 0.0) + weight(time, t0, half_life_ms)
    return {item: count for item, count in counts.items() if count >= NEGLIGIBLE}
