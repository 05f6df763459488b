"""What a base carries beside its parameters: each user's evidence and ring, and the trend counts, at its cut."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.bases import OpenBase
from contracts.rows import pushed
from contracts.trend import weight

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


def of_parent(parent: OpenBase | None) -> dict[str, Evidence]:
    """Return the evidence that a lineage starts from."""
    if parent is None:
        return {}
    return {user: Evidence(row.clicks, row.last_event_time, row.ring) for user, row in parent.rows.items()}


def carried(parent: OpenBase | None, half_life_ms: int, t0: int) -> dict[str, float]:
    """Return the parent's counts relative to the later `t0` (ms).

    With another half-life they cannot be carried; what is a day old decays to nothing anyway.
    """
    if parent is None or parent.manifest.online.half_life_ms != half_life_ms:
        return {}
    factor = weight(parent.manifest.trend_t0, t0, half_life_ms)
    return {item: count * factor for item, count in parent.trend.items()}
