"""The joiner: requests and clicks of one partition become joined clicks. Its only clock is the log's.

Per record: advance the watermark, fire due timers in (deadline, offset) order, process the record. What the joiner
holds at a record is a function of the records within its horizon alone: a repeated request or event id starts its
window anew, so that a fold that starts one horizon earlier arrives at the same state. Requests and event ids go from
memory to disk to nothing (`tiers.py`); only the clicks that are parked, for two minutes of the log, are all in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import NamedTuple

import msgspec

from contracts.errors import EventRejected
from contracts.events import Click, Tick
from contracts.sample_columns import Joined
from contracts.state_db import Changes, KeyRange, StateDB
from streams.batch import Arrival, Batch, Offer
from streams.clock import NEVER, NOT_STARTED, Leaps, Reading
from streams.parking import PARKED, ParkedClick, Parking
from streams.tiers import Disk, Tier

REQUESTS, SEEN = b"r", b"s"
STATE = KeyRange(b"p", b"t")  # every key of a joiner in a state DB


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
    """A request that was seen. `arrived`: the watermark when it was read; gone at `deadline`."""

    offer: Offer
    arrived: int
    deadline: int


class JoinedClick(msgspec.Struct, frozen=True, gc=False):
    """A click that leaves the joiner at `watermark`: `offset` is its own, however long it was parked."""

    click: Click
    offset: int
    joined: Joined
    offer: Offer | None
    watermark: int


class Room(NamedTuple):
    """How much may come of some records: clicks that leave, and bytes."""

    clicks: int
    size: int


class Taken(NamedTuple):
    """What came of some records: the outcome of each (a key of `Shard.read`), and what leaves, in order.

    `size`: bytes of the records, and of the requests that clicks leave with.
    """

    outcomes: list[str]
    leaving: list[JoinedClick]
    size: int


class Joiner:
    """State and rules of one partition.

    Use: `recall` a batch; `take` all its records, stretch by stretch; `take_changes` at a commit. `disk` is where the
    changes that were taken are read again. `reading`: what the log's clock showed after the last record taken.
    `changed_bytes`: about what the changes that wait to be taken hold in memory.
    """

    def __init__(self, windows: Windows, disk: Disk, reading: Reading = NOT_STARTED) -> None:
        self.windows, self.reading = windows, reading
        self.changed_bytes = 0
        self._disk = disk
        self._batch: Batch
        self._requests = Tier(REQUESTS, windows.late_ms, _pack_request, _unpack_request)
        self._seen = Tier(SEEN, windows.dedupe_ms, _DEADLINE.pack, _unpack_deadline)
        self._parking = Parking(windows.park_ms)

    @classmethod
    def load(cls, windows: Windows, reading: Reading, state: StateDB) -> Joiner:
        """Return the joiner whose changes, as written at each commit, are in `state`."""
        joiner = cls(windows, state, reading)
        for _, value in state.scan(PARKED):
            joiner._parking.restore(value)
        for tier, prefix in ((joiner._requests, REQUESTS), (joiner._seen, SEEN)):
            first = next(state.scan(prefix), None)
            if first:
                tier.restore(first[0])
        return joiner

    @property
    def watermark(self) -> int:
        """The log's time (ms) as far as it was taken; -1 before the first event."""
        return self.reading.watermark

    def recall(self, batch: Batch) -> None:
        """Fetch what the records of a batch may ask for, before the first of them is taken."""
        self._batch = batch
        for tier, keys in ((self._requests, batch.request_keys), (self._seen, batch.event_keys)):
            tier.recall(list(filter(None, keys)), self.watermark, self._disk)

    def calm_until(self, watermark: int) -> int:
        """Return the watermark (ms) short of which nothing of this batch leaves but by a record of its own.

        That is when a parked click leaves: one that is parked now, or by a record that comes at `watermark` or later.
        """
        parking = watermark + self.windows.park_ms if any(self._batch.request_keys) else NEVER
        return min(parking, self._parking.next_deadline)

    def take(self, first: int, end: int, room: Room) -> Taken:
        """Take the records of the batch from number `first` on, up to `end` or the one that uses up the room.

        1. Parked clicks whose time is over at the first record leave as orphans: the caller sees to it that no other's
        time ends before `end`. 2. One by one, requests and event ids are remembered, and clicks leave or are parked.
        """
        batch, some = self._batch, slice(first, end)
        watermarks = batch.course.watermarks[first + 1 : end + 1]
        columns = (batch.arrivals, batch.offsets, batch.sizes, batch.event_keys, batch.request_keys)
        leaving = _orphans(self._parking.due(watermarks[0]), watermarks[0])
        outcomes, total, seen, dedupe_ms = list[str](), 0, self._seen, self.windows.dedupe_ms
        for watermark, arrival, offset, size, event_key, request_key in zip(
            watermarks, *[column[some] for column in columns], strict=True
        ):
            total += size
            if type(arrival) is Click:
                deadline = watermark + dedupe_ms
                seen_until = seen.swap(event_key, deadline, deadline) if event_key else None
                if seen_until is not None and seen_until > watermark:
                    outcomes.append("clicks:duplicate")
                elif request_key:
                    outcome, more = self._take_asking(arrival, request_key, offset, watermark, leaving)
                    outcomes.append(outcome)
                    total += more
                else:
                    outcomes.append("clicks:direct")
                    leaving.append(JoinedClick(arrival, offset, "direct", None, watermark))
            elif type(arrival) is Offer:
                outcomes.append("requests")
                total += self._take_request(arrival, request_key, watermark, leaving)
            else:
                outcomes.append(_other(arrival))
            if len(leaving) >= room.clicks or total >= room.size:
                break
        self.reading = batch.course.after(first + len(outcomes))
        self.changed_bytes += total
        return Taken(outcomes, leaving, total)

    def release_all(self) -> list[JoinedClick]:
        """Return every parked click as an orphan, in order: what it waits for can no longer be read."""
        return _orphans(self._parking.release_all(), self.watermark)

    def take_changes(self) -> list[Changes]:
        """Return what a state DB has to write since the last call; write it before anything else is recalled."""
        changes = self._parking.take_changes()
        for tier in (self._requests, self._seen):
            changes += tier.take_changes(self.watermark)
        self.changed_bytes = 0
        return changes

    def _take_request(self, offer: Offer, key: bytes, watermark: int, leaving: list[JoinedClick]) -> int:
        """Remember a request; clicks that waited for it leave. Return how many bytes of it they leave with.

        Where the id came twice nothing of it is a negative: one record may have shown what the other rejected.
        """
        deadline = watermark + self.windows.late_ms
        before = self._requests.swap(key, KnownRequest(offer, watermark, deadline), deadline)
        if before is not None and before.deadline > watermark and offer.rejected:
            offer = msgspec.structs.replace(offer, rejected=(), stages=())
            self._requests.swap(key, KnownRequest(offer, watermark, deadline), deadline)
        waiting = self._parking.claim(key)
        leaving += [JoinedClick(parked.click, parked.offset, "request", offer, watermark) for parked in waiting]
        return offer.size * len(waiting)

    def _take_asking(
        self, click: Click, key: bytes, offset: int, watermark: int, leaving: list[JoinedClick]
    ) -> tuple[str, int]:
        """Take a click that names its request; return its outcome, and the bytes of the request that it leaves with."""
        known = self._requests.get(key)
        if known is None or known.deadline <= watermark:
            if self._parking.park(click, key, offset, watermark):
                return "clicks:parked", 0
            leaving.append(JoinedClick(click, offset, "orphan", None, watermark))
            return "clicks:orphan", 0
        joined: Joined = "request" if watermark - known.arrived < self.windows.join_ms else "late"
        leaving.append(JoinedClick(click, offset, joined, known.offer, watermark))
        return f"clicks:{joined}", known.offer.size


def _other(arrival: Arrival) -> str:
    if isinstance(arrival, EventRejected):
        return f"rejected:{arrival.reason}"
    return "ticks" if isinstance(arrival, Tick) else "items"


def _orphans(parked: Sequence[ParkedClick], watermark: int) -> list[JoinedClick]:
    return [JoinedClick(one.click, one.offset, "orphan", None, watermark) for one in parked]


_DEADLINE = Struct(">Q")
_pack_request = msgspec.msgpack.Encoder().encode
_unpack_request = msgspec.msgpack.Decoder(KnownRequest).decode


def _unpack_deadline(packed: bytes) -> int:
    return int.from_bytes(packed, "big")
