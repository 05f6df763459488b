"""What a joiner remembers, by key and for a time: in memory until it is committed, then on disk, gone when it is over.

On disk a key stands under the *generation* of its deadline, `deadline // (2 * life)`. At any watermark one or two
generations live, so a look-up asks for two keys at most, and what is over is deleted as one range. Which tier holds an
entry never shows: an entry is there if its deadline lies beyond the watermark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from contracts.state_db import Changes, KeyRange

Value = TypeVar("Value")
_GENERATION_BYTES = 4


class Disk(Protocol):
    """Where committed entries are read from."""

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, in their order, None where absent."""


class Tier(Generic[Value]):
    """Entries of one kind. Use: `recall` the keys of a batch, then `get` and `swap` those; `take_changes` to commit.

    In memory they are packed as on disk: a log's requests of a minute are many, and few of them are asked for.
    """

    def __init__(
        self, prefix: bytes, life_ms: int, pack: Callable[[Value], bytes], unpack: Callable[[bytes], Value]
    ) -> None:
        self._prefix, self._life_ms, self._pack, self._unpack = prefix, life_ms, pack, unpack
        self._span_ms = 2 * life_ms
        self._now: dict[bytes, bytes] = {}  # what the keys of the batch have, wherever it was found
        self._changes: dict[bytes, bytes] = {}  # what was put since the last commit, by the keys on disk
        self._newest, self._until = b"", -1  # the generation of what is put, and the deadline at which it ends
        self._oldest: int | None = None  # the lowest generation on disk; None: nothing is there

    def restore(self, first_key: bytes) -> None:
        """Take notice of the first key on disk, without the tier's prefix: what another one has committed."""
        self._oldest = int.from_bytes(first_key[:_GENERATION_BYTES], "big")

    def recall(self, keys: Sequence[bytes], watermark: int, disk: Disk) -> None:
        """Fetch what a batch of records may ask for: from memory, else from disk."""
        self._now = {}
        first, last = max(0, watermark) // self._span_ms, (max(0, watermark) + self._life_ms) // self._span_ms
        for generation in range(first, last + 1):  # the later one wins: it was put later
            prefix = self._generation(generation)
            stored = [prefix + key for key in keys]
            found = list(map(self._changes.get, stored))
            if self._oldest is not None and None in found:
                absent = [key for key, packed in zip(stored, found, strict=True) if packed is None]
                fetched = iter(disk.get_many(absent))
                found = [next(fetched) if packed is None else packed for packed in found]
            if found.count(None) < len(found):
                self._now.update({k: packed for k, packed in zip(keys, found, strict=True) if packed is not None})

    def get(self, key: bytes) -> Value | None:
        """Return the entry of a key that was recalled last, also one whose time is over; None where there is none."""
        packed = self._now.get(key)
        return None if packed is None else self._unpack(packed)

    def swap(self, key: bytes, value: Value, deadline: int) -> Value | None:
        """Remember an entry until the watermark reaches `deadline` (ms); return what `get` would have returned.

        The key was recalled last. No deadline is earlier than one before it.
        """
        before = self._now.get(key)
        if deadline >= self._until:
            generation = deadline // self._span_ms
            self._newest, self._until = self._generation(generation), (generation + 1) * self._span_ms
        self._now[key] = self._changes[self._newest + key] = self._pack(value)
        return None if before is None else self._unpack(before)

    def take_changes(self, watermark: int) -> list[Changes]:
        """Return what a state DB has to write; what is over by `watermark` is deleted.

        From then on what was put is on disk: write the changes before the next `recall`.
        """
        changes = list[Changes]()
        now = watermark // self._span_ms
        if self._oldest is not None and self._oldest < now:  # only then: a deleted range slows look-ups down
            changes.append({KeyRange(self._prefix, self._generation(now)): None})
            self._oldest = now
        if self._changes:
            changes.append(self._changes)
            if self._oldest is None:
                self.restore(next(iter(self._changes))[len(self._prefix) :])
            self._changes = {}
        return changes

    def _generation(self, number: int) -> bytes:
        return self._prefix + number.to_bytes(_GENERATION_BYTES, "big")
