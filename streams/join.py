"""The joiner: requests and clicks of one partition become joined clicks. Its only clock is the log's.

Per record: advance the watermark, fire due timers in (deadline, offset) order, process the record. What the joiner
holds at a record is a function of the records within its horizon alone: a repeated request or event id starts its
window anew, so that a fold that starts one horizon earlier arrives at the same state. Requests and event ids go from
memory to disk to nothing (`tiers.py`); only the clicks that are parked, for two minutes of the log, are all in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

import msgspec

from contracts.errors import EventRejected
from contracts.events import Click, Context, Event, Rejected, Request, Tick
from contracts.sample_columns import Joined
from contracts.state_db import KeyRange, StateDB
from streams.clock import NOT_STARTED, Leaps, LogClock, Reading
from streams.tiers import NO_DISK, Disk, Tier

MAX_NEGATIVES = 100  # rejected candidates kept of a request
MAX_WAITING = 64  # clicks parked for one request; beyond that a click leaves at once, as an orphan
MAX_PARKED, MAX_PARKED_BYTES = 100_000, 16 << 20  # clicks parked in a partition, and what they take; the same

REQUESTS, SEEN, PARKED = b"r", b"s", b"p"
STATE = KeyRange(b"p", b"t")  # every key of a joiner in a state DB

Changes = dict[bytes | KeyRange, bytes | None]


class Windows(msgspec.Struct, frozen=True):
    """How long (ms of watermark) a request joins, joins late, a click is parked, an event id is remembered."""

    join_ms: int = 30 * 60_000
    late_ms: int = 24 * 3_600_000
    park_ms: int = 2 * 60_000
    dedupe_ms: int = 24 * 3_600_000
    leaps: Leaps = Leaps()

    def in_words(self) -> dict[str, int]:
        """Return the rules by their names, as manifests record them; `Windows.of` reads them back."""
        rules: dict[str, int] = {name: getattr(self, name) for name in ("join_ms", "late_ms", "park_ms", "dedupe_ms")}
        return rules | {"leap_ms": self.leaps.leap_ms, "leap_records": self.leaps.leap_records}

    @classmethod
    def of(cls, rules: Mapping[str, int]) -> Windows:
        """Return the windows of `in_words`. Raises `KeyError` for a rule that is not there."""
        leaps = Leaps(rules["leap_ms"], rules["leap_records"])
        return cls(rules["join_ms"], rules["late_ms"], rules["park_ms"], rules["dedupe_ms"], leaps)

    @property
    def horizon_ms(self) -> int:
        """How much earlier a fold has to start so that the state comes out the same.

        Twice `late_ms`: whether a request that is known now was a repetition is decided within that time before it.
        """
        return max(2 * self.late_ms, self.dedupe_ms) + self.join_ms + self.park_ms


class KnownRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a click needs of its request. `arrived`: the watermark when it was read; gone at `deadline`.

    `rejected`: at most `MAX_NEGATIVES`, and none where the id came twice: one record may have shown what the other
    rejected, and an item that was shown is never a negative. `size`: bytes of the record, about.
    """

    context: Context
    rejected: tuple[Rejected, ...]
    arm: str
    served_version: int
    arrived: int
    deadline: int
    size: int


class ParkedClick(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A click whose request has not been seen; it leaves as an orphan at `deadline`."""

    click: Click
    deadline: int
    offset: int


class JoinedClick(NamedTuple):
    """A click that leaves the joiner at `watermark`: `offset` is its own, however long it was parked."""

    click: Click
    offset: int
    joined: Joined
    request: KnownRequest | None
    watermark: int


class Joiner:
    """State and rules of one partition.

    Use: `recall` a batch of events; `take` each of them; `take_changes` at a commit. `disk` is where the changes that
    were taken can be read again.
    """

    def __init__(self, windows: Windows, reading: Reading = NOT_STARTED, disk: Disk = NO_DISK) -> None:
        self.windows = windows
        self.clock = LogClock(windows.leaps, reading)
        self._disk = disk
        self._requests = Tier(REQUESTS, windows.late_ms, _pack_request, _unpack_request)
        self._seen = Tier(SEEN, windows.dedupe_ms, _pack_deadline, _unpack_deadline)
        self._parked: dict[int, tuple[ParkedClick, int]] = {}  # by offset, with their packed bytes
        self._waiting: dict[bytes, list[int]] = {}  # offsets of parked clicks by request
        self._deadlines: deque[tuple[int, int]] = deque()  # of parked clicks, with their offset: in order of both
        self._parked_bytes = 0
        self._parked_changes: Changes = {}

    @classmethod
    def load(cls, windows: Windows, reading: Reading, state: StateDB) -> Joiner:
        """Return the joiner whose changes, as written at each commit, are in `state`."""
        joiner = cls(windows, reading, state)
        for _, value in state.scan(PARKED):
            joiner._wait(_unpack_parked(value), len(value))
        return joiner

    @property
    def watermark(self) -> int:
        """The log's time (ms) as far as it was read; -1 before the first event."""
        return self.clock.watermark

    def recall(self, events: Iterable[Event | EventRejected]) -> None:
        """Fetch what these events may ask for; all of a batch, before the first of them is taken."""
        requests, seen = set[bytes](), set[bytes]()
        for event in events:
            if type(event) is Click:
                if event.event_id:
                    seen.add(_key(event.user_id, event.event_id))
                if event.request_id:
                    requests.add(_key(event.user_id, event.request_id))
            elif type(event) is Request:
                requests.add(_key(event.user_id, event.request_id))
        for tier, keys in ((self._requests, requests), (self._seen, seen)):
            tier.turn()
            if keys:
                tier.recall(keys, self.clock.watermark, self._disk)

    def take(self, event: Event, offset: int, size: int = 0) -> tuple[str, list[JoinedClick]]:
        """Take the next record, an event of `size` bytes; return its outcome (a key of `Shard.read`) and what leaves.

        1. The watermark moves. 2. Parked clicks whose time is over leave as orphans. 3. The event is processed; a click
        that is parked now leaves later, in step 2 or with the request that it waits for.
        """
        clock = self.clock
        clock.advance(event.ingest_time)
        released: list[JoinedClick] = []
        while self._deadlines and self._deadlines[0][0] <= clock.watermark:
            _, parked = self._deadlines.popleft()
            if parked in self._parked:
                released.append(self._release_orphan(parked))
        kind = type(event)
        if kind is Click:
            outcome, leaving = self._take_click(event, offset)  # type: ignore[arg-type]
        elif kind is Request:
            outcome, leaving = "requests", self._take_request(event, size)  # type: ignore[arg-type]
        else:
            outcome, leaving = ("ticks" if kind is Tick else "items"), []
        return outcome, released + leaving if released else leaving

    def release_all(self) -> list[JoinedClick]:
        """Return every parked click as an orphan, in order: what it waits for can no longer be read."""
        return [self._release_orphan(offset) for offset in sorted(self._parked)]

    def take_changes(self) -> Changes:
        """Return what a state DB has to write since the last call; call it at every commit."""
        changes, self._parked_changes = self._parked_changes, {}
        for tier in (self._requests, self._seen):
            changes.update(tier.take_changes(self.clock.watermark))
        return changes

    def changed_bytes(self) -> int:
        """Return about how many bytes of changes wait to be taken."""
        return self._parked_bytes + self._requests.changed_bytes + self._seen.changed_bytes

    def _take_request(self, event: Request, size: int) -> list[JoinedClick]:
        key, watermark = _key(event.user_id, event.request_id), self.clock.watermark
        rejected: tuple[Rejected, ...] = ()
        if event.rejected and not self._known(key):
            shown = set(map(_item_id, event.shown))
            rejected = tuple([item for item in event.rejected if item.item_id not in shown][:MAX_NEGATIVES])
        deadline = watermark + self.windows.late_ms
        known = KnownRequest(event.context, rejected, event.arm, event.served_version, watermark, deadline, size)
        self._requests.put(key, known, deadline)
        if key not in self._waiting:
            return []
        released = [self._unpark(at) for at in self._waiting.pop(key)]
        return [JoinedClick(parked.click, parked.offset, "request", known, watermark) for parked in released]

    def _take_click(self, click: Click, offset: int) -> tuple[str, list[JoinedClick]]:
        watermark = self.clock.watermark
        if click.event_id and self._is_duplicate(_key(click.user_id, click.event_id)):
            return "clicks:duplicate", []
        if not click.request_id:
            return "clicks:direct", [JoinedClick(click, offset, "direct", None, watermark)]
        key = _key(click.user_id, click.request_id)
        known = self._known(key)
        if known is None:
            return self._park(key, click, offset)
        if watermark - known.arrived < self.windows.join_ms:
            return "clicks:request", [JoinedClick(click, offset, "request", known, watermark)]
        return "clicks:late", [JoinedClick(click, offset, "late", known, watermark)]

    def _known(self, key: bytes) -> KnownRequest | None:
        known = self._requests.get(key)
        return known if known is not None and known.deadline > self.clock.watermark else None

    def _is_duplicate(self, key: bytes) -> bool:
        watermark, known = self.clock.watermark, self._seen.get(key)
        deadline = watermark + self.windows.dedupe_ms
        self._seen.put(key, deadline, deadline)
        return known is not None and known > watermark

    def _park(self, key: bytes, click: Click, offset: int) -> tuple[str, list[JoinedClick]]:
        many = len(self._parked) == MAX_PARKED or self._parked_bytes >= MAX_PARKED_BYTES
        if many or len(self._waiting.get(key, ())) == MAX_WAITING:
            return "clicks:orphan", [JoinedClick(click, offset, "orphan", None, self.clock.watermark)]
        parked = ParkedClick(click, self.clock.watermark + self.windows.park_ms, offset)
        packed = msgspec.msgpack.encode(parked)
        self._wait(parked, len(packed))
        self._parked_changes[PARKED + _offset_key(offset)] = packed
        return "clicks:parked", []

    def _wait(self, parked: ParkedClick, size: int) -> None:
        self._parked[parked.offset] = (parked, size)
        self._parked_bytes += size
        self._waiting.setdefault(_key(parked.click.user_id, parked.click.request_id), []).append(parked.offset)
        self._deadlines.append((parked.deadline, parked.offset))
        if len(self._deadlines) > 2 * len(self._parked) + MAX_WAITING:  # most of them have found their request
            self._deadlines = deque(entry for entry in self._deadlines if entry[1] in self._parked)

    def _unpark(self, offset: int) -> ParkedClick:
        self._parked_changes[PARKED + _offset_key(offset)] = None
        parked, size = self._parked.pop(offset)
        self._parked_bytes -= size
        return parked

    def _release_orphan(self, offset: int) -> JoinedClick:
        parked = self._unpark(offset)
        key = _key(parked.click.user_id, parked.click.request_id)
        self._waiting[key].remove(offset)
        if not self._waiting[key]:
            del self._waiting[key]
        return JoinedClick(parked.click, offset, "orphan", None, self.clock.watermark)


_item_id = attrgetter("item_id")


def _key(user_id: str, name: str) -> bytes:
    """Return the key of a user's request or event: ids of one user mean nothing for another."""
    return f"{len(user_id)}:{user_id}{name}".encode()


def _offset_key(offset: int) -> bytes:
    return offset.to_bytes(8, "big")


_pack_request = msgspec.msgpack.Encoder().encode
_unpack_request = msgspec.msgpack.Decoder(KnownRequest).decode
_unpack_parked = msgspec.msgpack.Decoder(ParkedClick).decode


def _pack_deadline(deadline: int) -> bytes:
    return deadline.to_bytes(8, "big")


def _unpack_deadline(packed: bytes) -> int:
    return int.from_bytes(packed, "big")
