"""The user rows that deltas have changed: tables as they were read, and a position in them for each user."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from contracts.arrays import Integers
from contracts.rows import Row, RowTable, gathered
from serving.layers import Layers

_GONE = -1
_SLACK = 10_000  # rows that no user has any more and that are not worth a compaction


@dataclass(frozen=True)
class _Part:
    """A table whose first row has the slot `start`; `deltas`: int64 [n], which delta made each row."""

    start: int
    table: RowTable
    deltas: Integers


class Overlay:
    """Never changes: `over` makes the next one. Costs what a delta touches, amortised; slots are plain numbers.

    A row that was changed again stays in its former table, where older overlays read it, until more rows are like that
    than not: then those that are left are gathered into one table.
    """

    def __init__(self, slots: Layers[int] | None = None, parts: tuple[_Part, ...] = ()) -> None:
        self._slots = Layers[int]() if slots is None else slots
        self._parts = parts
        self._starts = [part.start for part in parts]

    def get(self, user: str) -> tuple[Row | None, int] | None:
        """Return a user's row and the delta that made it; None: nothing is known here. No row: a tombstone."""
        slot = self._slots.get(user)
        if slot is None:
            return None
        if slot == _GONE:
            return None, 0
        part = self._parts[bisect_right(self._starts, slot) - 1]
        at = slot - part.start
        return part.table.row_at(at), int(part.deltas[at])

    def over(self, rows: RowTable, delta: int, gone: Iterable[str]) -> Overlay:
        """Return the overlay in which a delta's rows and tombstones win."""
        last = self._parts[-1] if self._parts else None
        start = last.start + len(last.table) if last else 0
        touched = dict.fromkeys(gone, _GONE)
        touched.update(zip(rows.users, range(start, start + len(rows)), strict=True))
        part = _Part(start, rows, np.full(len(rows), delta, dtype=np.int64))
        made = Overlay(self._slots.over(touched), (*self._parts, part) if len(rows) else self._parts)
        return made._compacted() if made._is_mostly_stale() else made

    def _is_mostly_stale(self) -> bool:
        held = sum(len(part.table) for part in self._parts)
        return held > 2 * self._slots.most() + _SLACK

    def _compacted(self) -> Overlay:
        slots = self._slots.merged()
        users = [user for user, slot in slots.items() if slot != _GONE]
        live = np.sort(np.array([slots[user] for user in users], dtype=np.int64))
        chosen, deltas = [], []
        for part in self._parts:
            first, end = np.searchsorted(live, [part.start, part.start + len(part.table)])
            at = live[first:end] - part.start
            chosen.append((part.table, at))
            deltas.append(part.deltas[at])
        if not len(live):
            return Overlay(Layers((slots,)))
        table = gathered(chosen)
        slots.update(zip(table.users, range(len(table)), strict=True))
        return Overlay(Layers((slots,)), (_Part(0, table, np.concatenate(deltas)),))
