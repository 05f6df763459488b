"""The joiner: requests and clicks of one partition become joined clicks. Its only clock is the log's.

Per record: advance the watermark, fire due timers in (deadline, offset) order, process the record. What the joiner
holds at a record is a function of the records within its horizon alone: a repeated request or event id starts its
window anew, so that a fold that starts one horizon earlier arrives at the same state.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from contracts.events import Click, Context, Event, Rejected, Request, Tick
from contracts.samples import Joined
from contracts.state_db import StateDB

NO_WATERMARK = -1
MAX_NEGATIVES = 100  # rejected candidates kept of a request
MAX_WAITING = 64  # clicks parked for one request; beyond that a click leaves at once, as an orphan

Kind = Literal["request", "seen", "parked"]
_PREFIX: dict[Kind, bytes] = {"request": b"r", "seen": b"s", "parked": b"p"}


class Windows(msgspec.Struct, frozen=True):
    """How long (ms of watermark) a request joins, joins late, a click is parked, an event id is remembered."""

    join_ms: int = 30 * 60_000
    late_ms: int = 24 * 3_600_000
    park_ms: int = 2 * 60_000
    dedupe_ms: int = 24 * 3_600_000

    @property
    def horizon_ms(self) -> int:
        """How much earlier a fold has to start so that the state comes out the same.

        Twice `late_ms`: whether a request that is known now was a repetition is decided within that time before it.
        """
        return max(2 * self.late_ms, self.dedupe_ms) + self.join_ms + self.park_ms


class KnownRequest(msgspec.Struct, frozen=True, array_like=True):
    """What a click needs of its request. `arrived`: the watermark when it was read; gone at `deadline`.

    `rejected`: at most `MAX_NEGATIVES`, and none where the id came twice: one record may have shown what the other
    rejected, and an item that was shown is never a negative.
    """

    context: Context
    rejected: tuple[Rejected, ...]
    arm: str
    served_version: int
    arrived: int
    deadline: int
    offset: int


class SeenEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event id, remembered until `deadline`."""

    deadline: int
    offset: int


class ParkedClick(msgspec.Struct, frozen=True, array_like=True):
    """A click whose request has not been seen; it leaves as an orphan at `deadline`."""

    click: Click
    deadline: int
    offset: int


class JoinedClick(NamedTuple):
    """A click that leaves the joiner: `offset` is its own, however long it was parked."""

    click: Click
    offset: int
    joined: Joined
    request: KnownRequest | None


class Joiner:
    """State and rules of one partition. `changes` collects what a state DB has to write since it was last taken."""

    def __init__(self, windows: Windows, watermark: int = NO_WATERMARK) -> None:
        self.windows = windows
        self.watermark = watermark
        self.changes: dict[bytes, bytes | None] = {}
        self._requests: dict[str, KnownRequest] = {}
        self._seen: dict[str, SeenEvent] = {}
        self._parked: dict[int, ParkedClick] = {}  # by offset
        self._waiting: dict[str, list[int]] = {}  # offsets of parked clicks by request
        self._timers: list[tuple[int, int, Kind, str]] = []

    @classmethod
    def load(cls, windows: Windows, watermark: int, state: StateDB) -> Joiner:
        """Return the joiner that a state DB holds: `changes`, as written at each commit, folded."""
        joiner = cls(windows, watermark)
        for key, value in state.scan(_PREFIX["request"]):
            request = msgspec.msgpack.decode(value, type=KnownRequest)
            joiner._requests[key.decode()] = request
            joiner._timers.append((request.deadline, request.offset, "request", key.decode()))
        for key, value in state.scan(_PREFIX["seen"]):
            seen = msgspec.msgpack.decode(value, type=SeenEvent)
            joiner._seen[key.decode()] = seen
            joiner._timers.append((seen.deadline, seen.offset, "seen", key.decode()))
        for _, value in state.scan(_PREFIX["parked"]):
            parked = msgspec.msgpack.decode(value, type=ParkedClick)
            joiner._parked[parked.offset] = parked
            waiting = joiner._waiting.setdefault(_key(parked.click.user_id, parked.click.request_id), [])
            waiting.append(parked.offset)
            joiner._timers.append((parked.deadline, parked.offset, "parked", ""))
        heapq.heapify(joiner._timers)
        return joiner

    def advance(self, ingest_time: int) -> Iterator[JoinedClick]:
        """Move the watermark to `ingest_time`, never back; fire the timers that are due and yield what they release."""
        self.watermark = max(self.watermark, ingest_time)
        while self._timers and self._timers[0][0] <= self.watermark:
            _, offset, kind, key = heapq.heappop(self._timers)
            if kind == "request":
                self._forget_request(key, offset)
            elif kind == "seen":
                self._forget_seen(key, offset)
            elif offset in self._parked:
                yield self._release_orphan(offset)

    def process(self, event: Event, offset: int) -> tuple[str, list[JoinedClick]]:
        """Take one event after `advance`; return its outcome (a key of `Shard.read`) and the clicks that leave."""
        if isinstance(event, Request):
            return "requests", self._take_request(event, offset)
        if isinstance(event, Click):
            outcome, leaving = self._take_click(event, offset)
            return f"clicks:{outcome}", leaving
        return ("ticks" if isinstance(event, Tick) else "items"), []

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Return the changes since the last call and start collecting anew."""
        taken, self.changes = self.changes, {}
        return taken

    def _take_request(self, event: Request, offset: int) -> list[JoinedClick]:
        key = _key(event.user_id, event.request_id)
        shown = {item.item_id for item in event.shown}
        rejected = tuple(item for item in event.rejected if item.item_id not in shown)[:MAX_NEGATIVES]
        if key in self._requests:
            rejected = ()
        deadline = self.watermark + self.windows.late_ms
        known = KnownRequest(event.context, rejected, event.arm, event.served_version, self.watermark, deadline, offset)
        self._requests[key] = known
        self._put("request", key, known)
        released = [self._unpark(at) for at in self._waiting.pop(key, [])]
        return [JoinedClick(parked.click, parked.offset, "request", known) for parked in released]

    def _take_click(self, click: Click, offset: int) -> tuple[str, list[JoinedClick]]:
        if click.event_id and self._is_duplicate(_key(click.user_id, click.event_id), offset):
            return "duplicate", []
        if not click.request_id:
            return "direct", [JoinedClick(click, offset, "direct", None)]
        key = _key(click.user_id, click.request_id)
        known = self._requests.get(key)
        if known is None:
            return self._park(key, click, offset)
        joined: Joined = "request" if self.watermark - known.arrived < self.windows.join_ms else "late"
        return joined, [JoinedClick(click, offset, joined, known)]

    def _is_duplicate(self, key: str, offset: int) -> bool:
        duplicate = key in self._seen
        seen = SeenEvent(self.watermark + self.windows.dedupe_ms, offset)
        self._seen[key] = seen
        self._put("seen", key, seen)
        return duplicate

    def _park(self, key: str, click: Click, offset: int) -> tuple[str, list[JoinedClick]]:
        if len(self._waiting.get(key, ())) == MAX_WAITING:
            return "orphan", [JoinedClick(click, offset, "orphan", None)]
        parked = ParkedClick(click, self.watermark + self.windows.park_ms, offset)
        self._parked[offset] = parked
        self._waiting.setdefault(key, []).append(offset)
        self.changes[_PREFIX["parked"] + _offset_key(offset)] = msgspec.msgpack.encode(parked)
        heapq.heappush(self._timers, (parked.deadline, offset, "parked", ""))
        return "parked", []

    def _unpark(self, offset: int) -> ParkedClick:
        self._delete("parked", _offset_key(offset))
        return self._parked.pop(offset)

    def _release_orphan(self, offset: int) -> JoinedClick:
        parked = self._unpark(offset)
        key = _key(parked.click.user_id, parked.click.request_id)
        self._waiting[key].remove(offset)
        if not self._waiting[key]:
            del self._waiting[key]
        return JoinedClick(parked.click, offset, "orphan", None)

    def _put(self, kind: Kind, key: str, value: KnownRequest | SeenEvent) -> None:
        self.changes[_PREFIX[kind] + key.encode()] = msgspec.msgpack.encode(value)
        heapq.heappush(self._timers, (value.deadline, value.offset, kind, key))

    def _delete(self, kind: Kind, key: bytes) -> None:
        self.changes[_PREFIX[kind] + key] = None

    def _forget_request(self, request_id: str, offset: int) -> None:
        known = self._requests.get(request_id)
        if known is not None and known.offset == offset:  # else: a repetition has started its window anew
            del self._requests[request_id]
            self._delete("request", request_id.encode())

    def _forget_seen(self, event_id: str, offset: int) -> None:
        seen = self._seen.get(event_id)
        if seen is not None and seen.offset == offset:
            del self._seen[event_id]
            self._delete("seen", event_id.encode())


def _key(user_id: str, name: str) -> str:
    """Return the key of a user's request or event: ids of one user mean nothing for another."""
    return f"{len(user_id)}:{user_id}{name}"


def _offset_key(offset: int) -> bytes:
    return offset.to_bytes(8, "big")
