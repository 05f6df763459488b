"""What a base carries beside its parameters: each user's evidence and ring, and the trend counts, at its cut."""

from __future__ import annotations

import numpy as np

from contracts.arrays import Doubles, Floats, Integers
from contracts.bases import OpenBase
from contracts.rows import RING, Evidence, Rings, RowTable, last_distinct
from contracts.trend import weight, weights
from trainer.text_codes import TextCodes, grown

NEGLIGIBLE = 1e-6


class CutState:
    """The fold of a lineage's clicks, users and items by code.

    `users` begin with the parent's, in the order of its rows; those and `items` are others' to extend.
    """

    def __init__(self, parent: OpenBase | None, users: TextCodes, items: TextCodes) -> None:
        self._users, self._items = users, items
        self._clicks, self._last = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._rings: list[list[int]] = []
        if parent:
            rows = parent.rows
            self._clicks, self._last = rows.evidence.clicks.copy(), rows.evidence.last_event_time.copy()
            codes, ends = items.of(rows.rings.items)[rows.rings.codes], rows.rings.ends.tolist()
            self._rings = [codes[start:end].tolist() for start, end in zip([0, *ends], ends, strict=False)]

    def add(self, users: Integers, items: Integers, times: Integers) -> None:
        """Take clicks in order: codes of users and items, times in ms, int64 [n] each."""
        self._clicks, self._last = (grown(part, len(self._users)) for part in (self._clicks, self._last))
        np.add.at(self._clicks, users, 1)
        np.maximum.at(self._last, users, times)
        self._rings += [[] for _ in range(len(self._users) - len(self._rings))]
        rings = self._rings
        for user, item in zip(users.tolist(), items.tolist(), strict=True):
            rings[user].append(item)
            if len(rings[user]) > 2 * RING:
                rings[user] = last_distinct(rings[user])

    def table(self, own: Floats) -> RowTable:
        """Return the rows of all users, sorted by id; `own`: float32 [users, d], by code."""
        ids, texts = self._users.texts(), self._items.texts()
        order = sorted(range(len(ids)), key=ids.__getitem__)
        rings = Rings.of([last_distinct(self._rings[at]) for at in order], texts)
        evidence = Evidence(self._clicks[order], self._last[order])
        return RowTable([ids[at] for at in order], own[order], evidence, rings)


class TrendState:
    """Forward-decayed clicks by item code, relative to `t0` (ms).

    The parent's are carried over; with another half-life they cannot be: what is a day old decays to nothing anyway.
    """

    def __init__(self, parent: OpenBase | None, items: TextCodes, half_life_ms: int, t0: int) -> None:
        self._items, self._half_life, self._t0 = items, half_life_ms, t0
        self._counts: Doubles = np.zeros(0)
        if parent and parent.manifest.online.half_life_ms == half_life_ms:
            codes = items.of(list(parent.trend))
            self._counts = np.zeros(len(items))
            carried = np.array(list(parent.trend.values()), dtype=np.float64)
            self._counts[codes] = carried * weight(parent.manifest.trend_t0, t0, half_life_ms)

    def add(self, items: Integers, times: Integers) -> None:
        """Take clicks in order: codes of items, times in ms, int64 [n] each."""
        self._counts = grown(self._counts, len(self._items))
        added = weights(times, self._t0, self._half_life)
        np.add.at(self._counts, items, added)  # one after the other, however they come

    def counts(self, least: float = NEGLIGIBLE) -> dict[str, float]:
        """Return the counts at the cut by item, sorted; those below `least`, negligible ones, are left out."""
        found = zip(self._items.texts(), self._counts.tolist(), strict=False)
        return dict(sorted((item, count) for item, count in found if count >= least))
