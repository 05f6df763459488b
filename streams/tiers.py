"""What a joiner remembers, by key and for a time: the newest in memory, all of it on disk, gone when its time is over.

On disk a key stands under the *generation* of its deadline, `deadline // (2 * life)`. At any watermark one or two
generations live, so a look-up asks for two keys at most, and what is over is deleted as one range. Which tier holds an
entry never shows: an entry is there if its deadline lies beyond the watermark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from contracts.state_db import KeyRange

Value = TypeVar("Value")
RECENT = 4096  # entries of the newest memory half before the older half is let go …
RECENT_BYTES = 4 << 20  # … or their packed bytes


class Disk(Protocol):
    """Where committed entries are read from."""

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, in their order, None where absent."""


class NoDisk:
    """For a joiner without a state DB: everything stays in memory."""

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """Return None for each key."""
        return [None] * len(keys)


NO_DISK = NoDisk()


class Tier(Generic[Value]):
    """Entries of one kind. Use: `recall` the keys of a batch, then `get` and `put` those; `take_changes` to commit.

    `get` is right only for keys that were recalled since the last `turn`, or put. `changed_bytes`: of the changes that
    wait to be taken.
    """

    def __init__(self, prefix: bytes, life_ms: int, pack: Callable[[Value], bytes], unpack: Callable[[bytes], Value]):
        self._prefix, self._life_ms, self._pack, self._unpack = prefix, life_ms, pack, unpack
        self._span_ms = 2 * life_ms
        self._newest, self._prefix_of_newest = -1, b""
        self._new: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}
        self._recalled: dict[bytes, Value] = {}
        self._changes: dict[bytes | KeyRange, bytes | None] = {}
        self._new_bytes = self.changed_bytes = 0
        self._oldest: int | None = None  # the lowest generation that may still be on disk
        self._old_is_committed = True

    def get(self, key: bytes) -> Value | None:
        """Return the entry, also one whose time is over; None where there is none."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                found = self._recalled.get(key)
        return found

    def put(self, key: bytes, value: Value, deadline: int) -> None:
        """Remember an entry until the watermark reaches `deadline` (ms)."""
        self._new[key] = value
        generation = deadline // self._span_ms
        if generation != self._newest:
            self._newest, self._prefix_of_newest = generation, self._generation(generation)
        packed = self._changes[self._prefix_of_newest + key] = self._pack(value)
        self._new_bytes += len(packed)
        self.changed_bytes += len(key) + len(packed)

    def turn(self) -> None:
        """Let the older half of memory go if the newer one is full; call between batches, never within one."""
        self._recalled = {}
        if (len(self._new) > RECENT or self._new_bytes > RECENT_BYTES) and self._old_is_committed:
            self._old, self._new, self._old_is_committed = self._new, {}, False
            self._new_bytes = 0

    def recall(self, keys: Iterable[bytes], watermark: int, disk: Disk) -> None:
        """Fetch from disk what a batch of records may ask for and memory does not hold."""
        new, old = self._new, self._old
        absent = [key for key in keys if key not in new and key not in old]
        first, last = max(0, watermark) // self._span_ms, (max(0, watermark) + self._life_ms) // self._span_ms
        for generation in range(first, last + 1):  # the later one wins: it was put later
            prefix = self._generation(generation)
            for key, packed in zip(absent, disk.get_many([prefix + key for key in absent]), strict=True):
                if packed is not None:
                    self._recalled[key] = self._unpack(packed)

    def take_changes(self, watermark: int) -> dict[bytes | KeyRange, bytes | None]:
        """Return what a state DB has to write, and start collecting anew; what is over by `watermark` is deleted."""
        now = watermark // self._span_ms
        changes: dict[bytes | KeyRange, bytes | None] = {}
        if watermark >= 0 and self._oldest != now:
            changes[KeyRange(self._prefix, self._generation(now))] = None
            self._oldest = now
        changes.update(self._changes)
        self._changes, self._old_is_committed = {}, True
        self.changed_bytes = 0
        return changes

    def _generation(self, number: int) -> bytes:
        return self._prefix + number.to_bytes(4, "big")
