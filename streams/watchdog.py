"""When a worker should end itself so that its supervisor starts it anew: no clock, no thread, no I/O.

A partition is stuck when its lag has grown for the limit while no chunk of it was taken. A partition without lag, one
that is being recovered, and one that rebuilds (which takes chunks) never are. A recovery without end is for the health
page to tell: a new process would begin the same one. A worker is blind when the broker could not be asked for the limit
and nothing moves either. A process that was itself asleep gets the whole limit anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.vitals import PartitionView, View

ASLEEP_S = 30.0  # a check that comes so much after the one before: the process was stopped, or the machine slept


@dataclass(frozen=True)
class _Standing:
    """The lag of a partition when it was first looked at after its last move, and since when that counts."""

    moved_at: float
    lag: int
    since: float


class Watchdog:
    """Judges what it is shown; `check` has to be called every few seconds. `limit_s` 0: it never finds anything."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._standing: dict[int, _Standing] = {}
        self._awake_since = self._checked_at = float("-inf")

    def check(self, view: View) -> str:
        """Return the sentence that says why the process should end, empty while it should not."""
        if view.now - self._checked_at > ASLEEP_S:
            self._awake_since, self._standing = view.now, {}
        self._checked_at = view.now
        self._standing = {p.partition: self._look(p, view.now) for p in view.partitions if p.opened and p.lag >= 0}
        if not self._limit_s or view.stopping or not any(p.opened for p in view.partitions):
            return ""
        return self._stuck(view) or self._blind(view)

    def _look(self, partition: PartitionView, now: float) -> _Standing:
        known = self._standing.get(partition.partition)
        if known and known.moved_at == partition.moved_at:
            return known
        return _Standing(partition.moved_at, partition.lag, max(partition.moved_at, self._awake_since))

    def _stuck(self, view: View) -> str:
        for partition in view.partitions:
            standing = self._standing.get(partition.partition)
            if standing and partition.lag > standing.lag and view.now - standing.since >= self._limit_s:
                return (
                    f"partition {partition.partition}: no records for {view.now - standing.since:.0f} s, while its lag "
                    f"grew from {standing.lag:,} to {partition.lag:,}"
                )
        return ""

    def _blind(self, view: View) -> str:
        heard = max(max(p.moved_at, p.asked_at) for p in view.partitions)
        silent = view.now - max(heard, self._awake_since)
        return f"no records, and no answer from the broker, for {silent:.0f} s" if silent >= self._limit_s else ""
