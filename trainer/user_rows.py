"""The user rows of one (base, partition), as committed and as they are now: arrays over the users that were touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from contracts.arrays import Floats, Integers
from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.rows import RING, Evidence, Rings, RowTable, last_distinct
from trainer.text_codes import TextCodes

NOBODY = -1
SLOTS = 1024
FOREVER = 1 << 62
LONG = 2 * RING


class Shown(NamedTuple):
    """A user's row as committed: what a version published now would serve. `ring`: item codes, oldest first."""

    own: Floats
    last_event_time: int
    ring: list[int]


class OnlineRows:
    """Base rows, under the rows touched since, in slots; what changed since the last commit is the next delta.

    "Shown" is the committed state. Nothing of the base is ever changed. A user whose last click lies `row_ttl_ms` and
    more before a boundary has no row behind it; which users of the base these are follows from the boundary alone.
    `items`: codes of items, those of the base by their positions.
    """

    def __init__(self, base: OpenBase, overlay: Changes | None, boundary: int) -> None:
        online, rows = base.manifest.online, base.rows
        self.items = TextCodes(base.items.ids)
        self._base, self._width = rows, base.manifest.towers.width
        self._admit_after, self._ttl = online.admit_after, online.row_ttl_ms
        self._base_items = self.items.of(rows.rings.items)
        self._cut, self._boundary = base.manifest.cut_watermark, boundary
        self._by_age = np.argsort(rows.evidence.last_event_time, kind="stable")
        self._ages = rows.evidence.last_event_time[self._by_age]
        start = overlay or Changes(base.common, 0)
        self.common = self.shown_common = start.common
        self.common_samples = start.common_samples
        self._waiting, self._fresh_waiting = dict(start.admission), set[str]()
        self._admitted = set[str]()
        self._slots = _Slots(self._width, list(start.rows))
        self._slot_of = {user: slot for slot, user in enumerate(start.rows)}
        for slot, row in enumerate(start.rows.values()):
            self._slots.fill(slot, row.own, (row.clicks, row.last_event_time), self.items.of(row.ring).tolist())
        self._slots.commit()

    def slots(self, users: Sequence[str]) -> list[int]:
        """Return where the rows of users stand, `NOBODY` for those without one; a base's row moves into a slot."""
        known = self._slot_of
        return [known[user] if user in known else self._from_base(user) for user in users]

    def own(self, slots: Sequence[int]) -> Floats:
        """Return own rows, float32 [n, d]; zeros for users without one."""
        at = np.array(slots, dtype=np.int64)
        found: Floats = self._slots.own[at]
        found[at == NOBODY] = 0
        return found

    def shown(self, user: str) -> Shown | None:
        """Return a user's row as committed."""
        if user in self._slot_of:
            return self._slots.shown(self._slot_of[user])
        at, base = self._base_position(user), self._base
        if at < 0:
            return None
        return Shown(base.own[at], int(base.evidence.last_event_time[at]), self._base_ring(at))

    def of_base(self, user: str) -> Floats | None:
        """Return a user's own row in the base, float32 [d]."""
        at = self._base.position(user)
        return self._base.own[at] if at >= 0 else None

    def move_common(self, common: Floats, learned: int) -> None:
        """Set the common row after a block that `learned` from so many samples."""
        self.common = common
        self.common_samples += learned

    def admit(self, users: Sequence[str], slots: list[int], clicks: Sequence[int]) -> None:
        """Give slots, in place, to users without one whose `clicks` reach the admission; count those of others."""
        for at, user in enumerate(users):
            if slots[at] != NOBODY:
                continue
            before = self._waiting.pop(user, 0)
            if before + clicks[at] >= self._admit_after:
                self._fresh_waiting.discard(user)
                if before:
                    self._admitted.add(user)
                slots[at] = self._new_slot(user)
                self._slots.fill(slots[at], np.zeros(self._width, np.float32), (before, -FOREVER), [])
            else:
                self._waiting[user] = before + clicks[at]
                self._fresh_waiting.add(user)

    def write(self, slots: Sequence[int], own: Floats) -> None:
        """Set the own rows in slots, each at most once, to `own`, float32 [n, d]; `NOBODY` is left out."""
        at = np.array(slots, dtype=np.int64)
        self._slots.write(at[at != NOBODY], own[at != NOBODY])

    def clicked(self, slots: Sequence[int], codes: Integers, times: Integers) -> None:
        """Note clicks (item codes, ms) in the evidence and rings of rows that `write` was called for."""
        at, rings = np.array(slots, dtype=np.int64), self._slots.rings
        for slot, code in zip(slots, codes.tolist(), strict=True):
            if slot != NOBODY:
                rings[slot].append(code)
        np.add.at(self._slots.clicks, at[at != NOBODY], 1)
        np.maximum.at(self._slots.last, at[at != NOBODY], times[at != NOBODY])

    def expire(self, boundary: int) -> list[str]:
        """Let the rows go that are too old at `boundary` (ms); return whose they were."""
        reached = [max(at, self._cut) - self._ttl for at in (self._boundary, boundary)]
        first, stop = np.searchsorted(self._ages, reached, side="right").tolist()
        of_base = [self._base.users[at] for at in self._by_age[first:stop].tolist()]
        gone = [user for user in of_base if user not in self._slot_of]
        for user in self._slots.older_than(reached[1]):
            gone.append(user)
            del self._slot_of[user]
        self._boundary = boundary
        return gone

    def fresh_table(self) -> RowTable:
        """Return the rows that changed since the last commit, sorted by user."""
        slots = self._slots.fresh()
        users = [self._slots.users[slot] for slot in slots.tolist()]
        order = sorted(range(len(users)), key=users.__getitem__)
        users, slots = [users[at] for at in order], slots[order]
        return self._slots.table(users, slots, self.items.texts())

    def fresh_waiting(self) -> dict[str, int]:
        """Return the users without a row who clicked since the last commit, and their clicks so far."""
        return {user: self._waiting[user] for user in self._fresh_waiting}

    def fresh_admitted(self) -> frozenset[str]:
        """Return the users who got a row since the last commit and had waited for it before."""
        return frozenset(self._admitted)

    def commit(self) -> None:
        """What is fresh is in a delta: it becomes the committed state."""
        self._slots.commit()
        self._admitted.clear()
        self._fresh_waiting.clear()
        self.shown_common = self.common

    def _new_slot(self, user: str) -> int:
        slot = self._slots.add(user)
        self._slot_of[user] = slot
        return slot

    def _from_base(self, user: str) -> int:
        at, base = self._base_position(user), self._base
        if at < 0:
            return NOBODY
        slot = self._new_slot(user)
        evidence = int(base.evidence.clicks[at]), int(base.evidence.last_event_time[at])
        self._slots.fill(slot, base.own[at], evidence, self._base_ring(at))
        return slot

    def _base_position(self, user: str) -> int:
        """Return where the base has a user's row, -1 where it has none or a boundary has let it go."""
        at = self._base.position(user)
        if at < 0:
            return at
        last = int(self._base.evidence.last_event_time[at])
        return -1 if self._cut - self._ttl < last <= self._boundary - self._ttl else at

    def _base_ring(self, at: int) -> list[int]:
        ring: list[int] = self._base_items[self._base.ring_of(at)].tolist()
        return ring


class _Slots:
    """Rows by slot. `rings` grow by every click, and are cut to the last distinct items where somebody looks.

    `_before`: where a fresh slot's row as committed stands in `_kept` (-1: not fresh). A slot is filled before it is
    written; one whose `last` is then -FOREVER shows nothing until it is committed.
    """

    def __init__(self, width: int, users: list[str]) -> None:
        room = max(SLOTS, 2 * len(users))
        self.users = users
        self.own = np.zeros((room, width), np.float32)
        self.clicks, self.last = np.zeros(room, np.int64), np.full(room, FOREVER, np.int64)
        self.rings: list[list[int]] = [[] for _ in users]
        self._before = np.full(room, -1, np.int64)
        self._fresh: list[Integers] = []
        self._kept = np.zeros((SLOTS, width), np.float32)
        self._kept_last = np.zeros(SLOTS, np.int64)
        self._kept_ring = list[int]()

    def add(self, user: str) -> int:
        """Return a new slot for `user`."""
        slot = len(self.users)
        if slot == len(self.own):
            self.own = np.concatenate([self.own, np.zeros_like(self.own)])
            self.clicks = np.concatenate([self.clicks, np.zeros_like(self.clicks)])
            self.last = np.concatenate([self.last, np.full_like(self.last, FOREVER)])
            self._before = np.concatenate([self._before, np.full_like(self._before, -1)])
        self.users.append(user)
        self.rings.append([])
        return slot

    def fill(self, slot: int, own: Floats, evidence: tuple[int, int], ring: list[int]) -> None:
        """Set a new slot to a row that is committed, or with -FOREVER for its last event time to none."""
        self.own[slot] = own
        self.clicks[slot], self.last[slot] = evidence
        self.rings[slot] = ring

    def write(self, slots: Integers, own: Floats) -> None:
        """Set rows; of those that become fresh, keep what is shown."""
        new = slots[self._before[slots] < 0]
        if len(new):
            start = len(self._kept_ring)
            while start + len(new) > len(self._kept):
                self._kept = np.concatenate([self._kept, np.zeros_like(self._kept)])
                self._kept_last = np.concatenate([self._kept_last, np.zeros_like(self._kept_last)])
            self._before[new] = np.arange(start, start + len(new))
            self._kept[start : start + len(new)] = self.own[new]
            self._kept_last[start : start + len(new)] = self.last[new]
            self._kept_ring += [len(self.rings[slot]) for slot in new.tolist()]
            self._fresh.append(new)
        self.own[slots] = own

    def shown(self, slot: int) -> Shown | None:
        """Return the committed row."""
        at = int(self._before[slot])
        last = int(self.last[slot] if at < 0 else self._kept_last[at])
        if last == -FOREVER:
            return None
        if at < 0:
            return Shown(self.own[slot], last, last_distinct(self.rings[slot]))
        return Shown(self._kept[at], last, last_distinct(self.rings[slot][: self._kept_ring[at]]))

    def older_than(self, limit: int) -> list[str]:
        """Empty the slots whose last event time (ms) is `limit` or less; return whose they were."""
        old = np.flatnonzero(self.last[: len(self.users)] <= limit)
        self.last[old] = FOREVER
        return [self.users[slot] for slot in old.tolist()]

    def fresh(self) -> Integers:
        """Return the slots written since the last commit that still hold a row."""
        slots = np.concatenate([np.zeros(0, np.int64), *self._fresh])
        return np.asarray(slots[self.last[slots] != FOREVER], dtype=np.int64)

    def table(self, users: list[str], slots: Integers, items: list[str]) -> RowTable:
        """Return the rows in slots, of `users`, as a table; rings are cut to the last distinct items."""
        rings = Rings.of([last_distinct(self.rings[slot]) for slot in slots.tolist()], items)
        return RowTable(users, self.own[slots], Evidence(self.clicks[slots], self.last[slots]), rings)

    def commit(self) -> None:
        """What is fresh is shown from now on."""
        for slots in self._fresh:
            self._before[slots] = -1
            for slot in slots.tolist():
                if len(self.rings[slot]) > LONG:
                    self.rings[slot] = last_distinct(self.rings[slot])
        self._fresh.clear()
        self._kept_ring.clear()
