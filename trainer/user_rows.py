"""The online state of one (base, partition): rows, trend counts and admission, as committed and as they are now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.arrays import Doubles, Floats
from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.rows import Row, pushed
from contracts.trend import decayed, prior, weight


class OnlineRows:
    """Base rows, under the committed overlay, under what changed since (`fresh`, the next delta).

    "Shown" is the committed state: what a version published now would serve. Nothing of the base is ever changed.
    """

    def __init__(self, base: OpenBase, overlay: Changes | None) -> None:
        self._base = base.rows
        self._width = base.manifest.towers.width
        self._admit_after = base.manifest.online.admit_after
        self.committed = overlay or Changes(base.common, 0)
        self.fresh = Changes(self.committed.common, self.committed.common_samples)

    @property
    def common(self) -> Floats:
        """The common row now, float32 [d]."""
        return self.fresh.common

    def row(self, user: str) -> Row | None:
        """Return a user's row now."""
        return self.fresh.rows.get(user) or self.shown(user)

    def shown(self, user: str) -> Row | None:
        """Return a user's row as committed."""
        return self.committed.rows.get(user) or self._base.get(user)

    def of_base(self, user: str) -> Row | None:
        """Return a user's row in the base."""
        return self._base.get(user)

    def own(self, rows: Sequence[Row | None]) -> Floats:
        """Return own rows, float32 [n, d]; zeros for users without one."""
        found = np.zeros((len(rows), self._width), np.float32)
        for at, row in enumerate(rows):
            if row is not None:
                found[at] = row.own
        return found

    def move_common(self, common: Floats, learned: int) -> None:
        """Set the common row after a block that `learned` from so many samples."""
        self.fresh.common = common
        self.fresh.common_samples += learned

    def clicked(self, user: str, own: Floats, clicks: Sequence[tuple[str, int]]) -> None:
        """Give `user` the row `own` after `clicks` (item, time) of one block; without admission only count them."""
        row = self.row(user) or self._admitted(user, len(clicks))
        if row is None:
            return
        ring, last = row.ring, row.last_event_time
        for item, event_time in clicks:
            ring, last = pushed(ring, item), max(last, event_time)
        self.fresh.rows[user] = Row(own.copy(), row.clicks + len(clicks), last, ring)
        self.fresh.admission.pop(user, None)

    def commit(self) -> None:
        """The fresh changes are in a delta: they become the committed state."""
        self.committed.apply(self.fresh)
        self.fresh = Changes(self.committed.common, self.committed.common_samples)

    def _admitted(self, user: str, clicks: int) -> Row | None:
        """Return an empty row that carries the clicks waited for, or None and count these `clicks`."""
        before = self.fresh.admission.get(user, self.committed.admission.get(user, 0))
        if before + clicks >= self._admit_after:
            return Row(np.zeros(self._width, np.float32), before, 0, ())
        self.fresh.admission[user] = before + clicks
        return None


class TrendCounts:
    """Forward-decayed clicks per item: the base's, everybody's at the cut, and this partition's since.

    What the partition sees stands for all of them: its counts are multiplied by the number of partitions.
    """

    def __init__(self, base: OpenBase, changes: OnlineRows) -> None:
        self._online, self._rows = base.manifest.online, changes
        self._t0, self._partitions = base.manifest.trend_t0, base.manifest.partitions
        self._item_at = {item: at for at, item in enumerate(base.items.ids)}
        self._at_cut = self._aligned(base.trend)
        self._now = self._aligned(changes.committed.trend)
        self._shown = self._now.copy()

    def clicks(self, now: int) -> Doubles:
        """Return the decayed clicks of the base's items at `now` (ms), float64 [N]."""
        return self._decayed(self._now, now)

    def shown_clicks(self, now: int) -> Doubles:
        """Return the same of the committed counts."""
        return self._decayed(self._shown, now)

    def term(self, clicks: Doubles) -> Doubles:
        """Return the prior's part of the score, float64 [N]."""
        return prior(clicks, self._online.beta, self._online.floor)

    def add(self, item: str, time: int) -> None:
        """Count a click at `time` (ms), of any item."""
        fresh, committed = self._rows.fresh.trend, self._rows.committed.trend
        count = fresh.get(item, committed.get(item, 0.0)) + weight(time, self._t0, self._online.half_life_ms)
        fresh[item] = count
        at = self._item_at.get(item)
        if at is not None:
            self._now[at] = count

    def commit(self) -> None:
        """The counts now are committed."""
        np.copyto(self._shown, self._now)

    def _decayed(self, counts: Doubles, now: int) -> Doubles:
        return decayed(self._at_cut + self._partitions * counts, now, self._t0, self._online.half_life_ms)

    def _aligned(self, counts: dict[str, float]) -> Doubles:
        found = np.zeros(len(self._item_at), np.float64)
        for item, count in counts.items():
            at = self._item_at.get(item)
            if at is not None:
                found[at] = count
        return found
