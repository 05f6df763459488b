"""Clicks that wait for a request which has not been seen: all in memory, for two minutes of the log."""

from __future__ import annotations

from collections import deque

import msgspec

from contracts.events import Click
from contracts.state_db import Changes
from streams.clock import NEVER

MAX_WAITING = 64  # clicks parked for one request; beyond that a click leaves at once, as an orphan
MAX_PARKED, MAX_PARKED_BYTES = 100_000, 16 << 20  # clicks parked in a partition, and what they take; the same
PARKED = b"p"


class ParkedClick(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A click whose request has not been seen; it leaves as an orphan at `deadline`. `key`: of that request."""

    click: Click
    deadline: int
    offset: int
    key: bytes


class Parking:
    """The parked clicks of one partition; `size`: bytes that they take, packed."""

    def __init__(self, park_ms: int) -> None:
        self.park_ms = park_ms
        self.size = 0
        self._parked: dict[int, tuple[ParkedClick, int]] = {}  # by offset, with their packed bytes
        self._waiting: dict[bytes, list[int]] = {}  # offsets by request
        self._deadlines: deque[tuple[int, int]] = deque()  # with their offset: in order of both
        self._changes: dict[bytes, bytes | None] = {}

    @property
    def next_deadline(self) -> int:
        """The earliest watermark (ms) at which a click may have to leave."""
        return self._deadlines[0][0] if self._deadlines else NEVER

    def restore(self, packed: bytes) -> None:
        """Take back a click as a state DB held it; in the order of their keys."""
        self._keep(_unpack(packed), len(packed))

    def park(self, click: Click, key: bytes, offset: int, watermark: int) -> bool:
        """Park a click at this watermark until its request comes; False where too many wait already."""
        many = len(self._parked) == MAX_PARKED or self.size >= MAX_PARKED_BYTES
        if many or len(self._waiting.get(key, ())) == MAX_WAITING:
            return False
        parked = ParkedClick(click, watermark + self.park_ms, offset, key)
        packed = self._changes[_stored_as(offset)] = msgspec.msgpack.encode(parked)
        self._keep(parked, len(packed))
        return True

    def claim(self, key: bytes) -> list[ParkedClick]:
        """Let go the clicks that wait for a request, in the order of their offsets."""
        return [self._drop(offset) for offset in self._waiting.pop(key)] if key in self._waiting else []

    def due(self, watermark: int) -> list[ParkedClick]:
        """Let go the clicks whose deadline is over, in the order of their deadlines and offsets."""
        leaving = []
        while self.next_deadline <= watermark:
            _, offset = self._deadlines.popleft()
            if offset in self._parked:
                leaving.append(self._give_up(offset))
        return leaving

    def release_all(self) -> list[ParkedClick]:
        """Let go every click, in the order of their offsets."""
        return [self._give_up(offset) for offset in sorted(self._parked)]

    def take_changes(self) -> list[Changes]:
        """Return what a state DB has to write since the last call."""
        changes, self._changes = self._changes, {}
        return [changes] if changes else []

    def _keep(self, parked: ParkedClick, size: int) -> None:
        self._parked[parked.offset] = (parked, size)
        self.size += size
        self._waiting.setdefault(parked.key, []).append(parked.offset)
        self._deadlines.append((parked.deadline, parked.offset))
        if len(self._deadlines) > 2 * len(self._parked) + MAX_WAITING:  # most of them have found their request
            self._deadlines = deque(entry for entry in self._deadlines if entry[1] in self._parked)

    def _drop(self, offset: int) -> ParkedClick:
        self._changes[_stored_as(offset)] = None
        parked, size = self._parked.pop(offset)
        self.size -= size
        return parked

    def _give_up(self, offset: int) -> ParkedClick:
        parked = self._drop(offset)
        self._waiting[parked.key].remove(offset)
        if not self._waiting[parked.key]:
            del self._waiting[parked.key]
        return parked


def _stored_as(offset: int) -> bytes:
    return PARKED + offset.to_bytes(8, "big")


_unpack = msgspec.msgpack.Decoder(ParkedClick).decode
