"""Some consecutive records of a partition, by column: what a joiner needs of each, and the log's clock around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from contracts.errors import EventRejected
from contracts.events import Click, Context, Item, Request, Stage, Tick, decode_each
from contracts.partitions import partition_of
from contracts.shards import DeadLetter
from streams.clock import NO_TIME, Course, LogClock
from streams.records import KafkaRecord, Topic

KEYED = (Click, Request)  # by user: they live in the user's partition
KEPT_BYTES = 512  # of what is no event
MAX_NEGATIVES = 100  # rejected candidates kept of a request
_MOST_RESIDENTS = 1 << 16


class Offer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a click takes from its request. `size`: bytes of the request's record.

    `rejected`: items, at most `MAX_NEGATIVES`, and none that was shown as well; `stages`: where each was rejected.
    """

    context: Context
    rejected: tuple[str, ...]
    stages: tuple[Stage, ...]
    arm: str
    served_version: int
    size: int


Arrival = Click | Offer | Tick | Item | EventRejected


@dataclass(frozen=True, slots=True)
class Batch:
    """One entry a record in each list, by ascending offsets, which may have gaps.

    `sizes`: about how many bytes it may take in memory; `event_keys`, `request_keys`: what its event id and its request
    are remembered under, empty where it has none. `rejected`: the numbers of the records that are no events.
    """

    offsets: list[int]
    values: list[bytes]
    sizes: list[int]
    arrivals: list[Arrival]
    event_keys: list[bytes]
    request_keys: list[bytes]
    rejected: list[int]
    course: Course

    def letter(self, number: int, topic: str, partition: int) -> DeadLetter:
        """Return the dead letter of a rejected record."""
        rejection, value = self.arrivals[number], self.values[number]
        if not isinstance(rejection, EventRejected):
            raise ValueError(f"record {number} of the batch is an event")
        shown, detail = value[:KEPT_BYTES].decode("latin-1"), rejection.detail[:KEPT_BYTES]
        return DeadLetter(topic, partition, self.offsets[number], rejection.reason, detail, shown)


class Reader:
    """Reads the records of one topic-partition; its clock follows them."""

    def __init__(self, topic: Topic, partition: int, clock: LogClock) -> None:
        self._topic, self._partition, self._clock = topic, partition, clock
        self._residents: set[str] = set()  # users known to live in this partition

    def read(self, records: Sequence[KafkaRecord], expected: int) -> Batch | None:
        """Return the batch of the records from the offset `expected` on, None where there is none.

        What a source that goes back gives again is left out.
        """
        new = list[KafkaRecord]()
        for record in records:
            if record.offset >= expected:
                expected = record.offset + 1
                new.append(record)
        return self._batch(new) if new else None

    def _batch(self, records: Sequence[KafkaRecord]) -> Batch:
        values = [record.value or b"" for record in records]
        sizes, times, rejected = list(map(len, values)), list[int](), list[int]()
        arrivals, event_keys, request_keys = list[Arrival](), list[bytes](), list[bytes]()
        for size, event in zip(sizes, decode_each(values), strict=True):
            if (type(event) is Click or type(event) is Request) and event.user_id not in self._residents:
                event = self._at_home(event)
            arrival: Arrival
            event_key = request_key = b""
            if type(event) is Click:
                arrival = event
                if event.event_id:
                    event_key = _key(event.user_id, event.event_id)
                if event.request_id:
                    request_key = _key(event.user_id, event.request_id)
            elif type(event) is Request:
                arrival, request_key = _offer(event, size), _key(event.user_id, event.request_id)
            else:
                arrival = event
            if type(event) is EventRejected:
                sizes[len(times)] = min(size, KEPT_BYTES)
                rejected.append(len(times))
                times.append(NO_TIME)
            else:
                times.append(event.ingest_time)
            arrivals.append(arrival)
            event_keys.append(event_key)
            request_keys.append(request_key)
        offsets, course = [record.offset for record in records], self._clock.follow(times)
        return Batch(offsets, values, sizes, arrivals, event_keys, request_keys, rejected, course)

    def _at_home(self, event: Click | Request) -> Click | Request | EventRejected:
        """Return the event of a user who lives in this partition, a rejection for that of any other."""
        home = partition_of(event.user_id, self._topic.partitions)
        if home != self._partition:
            lives = f"the user lives in partition {home}, not in {self._partition}"
            return EventRejected("wrong_partition", lives)
        if len(self._residents) == _MOST_RESIDENTS:
            self._residents.clear()
        self._residents.add(event.user_id)
        return event


def _offer(request: Request, size: int) -> Offer:
    """Return what a click will need of a request, which may be forgotten then: what was shown is much to keep."""
    rejected = request.rejected
    items = [item.item_id for item in rejected]
    if items and not set(items).isdisjoint([item.item_id for item in request.shown]):
        shown = {item.item_id for item in request.shown}
        rejected = tuple([item for item in rejected if item.item_id not in shown])
        items = [item.item_id for item in rejected]
    if len(items) > MAX_NEGATIVES:
        rejected, items = rejected[:MAX_NEGATIVES], items[:MAX_NEGATIVES]
    stages = [item.stage for item in rejected]
    return Offer(request.context, tuple(items), tuple(stages), request.arm, request.served_version, size)


def _key(user_id: str, name: str) -> bytes:
    """Return the key of a user's request or event: ids of one user mean nothing for another."""
    return f"{len(user_id)}:{user_id}{name}".encode()
