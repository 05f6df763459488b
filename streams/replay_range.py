"""Which records of a topic a replay takes: offsets as they are given, or a range of the log's own time.

The log's time is the ingest time, for Kafka's timestamps say when a record was produced: of a log that was filled
later, that is another day. A range of time is found in each partition by bisection over ingest times, which is exact
as long as none of them is more than `SETTLED_MS` behind an earlier one.

[since, until) becomes the records from the first one at or past `since` to the first one at or past `until`, that one
included: with it the watermark has come to `until`, and the day is complete. Before them everything within the
joiner's horizon is read to warm the joiner: so the samples are those of the live worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contracts import events
from contracts.errors import EventRejected, UsageError
from streams.access import Access
from streams.pipeline import Topic
from streams.refusals import no_broker
from streams.replay_frames import Span

SETTLED_MS = 600_000
_NEAR = 256  # records that are looked at one after the other rather than bisected
_POLL_MS = 1000
_FETCH_BYTES = 1 << 17


@dataclass(frozen=True)
class Wanted:
    """A part of a topic; empty: all of it.

    `offsets`: [first, next) by partition, None: where the log starts or ends now; other partitions are left out.
    `since`, `until` (ms of ingest time): of all partitions. `cold`: nothing is read to warm the joiner.
    """

    offsets: dict[int, tuple[int | None, int | None]]
    since: int | None = None
    until: int | None = None
    cold: bool = False


class Seen(NamedTuple):
    """An event in the log: its offset and ingest time (ms)."""

    offset: int
    time: int


def parsed_offsets(text: str) -> dict[int, tuple[int | None, int | None]]:
    """Read `0:1000-5000,1:500-,2:-300,3` (partition:first-next). Raises `UsageError`."""
    wanted: dict[int, tuple[int | None, int | None]] = {}
    for part in filter(None, text.split(",")):
        partition, _, span = part.strip().partition(":")
        first, _, end = span.partition("-")
        if not part.isascii() or not all(bound.isdecimal() for bound in (partition, first or "0", end or "0")):
            raise UsageError(f"--offsets: {part!r} is no range", hint="Write PARTITION:FIRST-NEXT, as in 0:1000-5000.")
        if int(partition) in wanted:
            raise UsageError(f"--offsets names partition {partition} twice", hint="Give each partition one range.")
        if first and end and int(first) >= int(end):
            raise UsageError(f"--offsets: {part!r} holds no record", hint="FIRST is below NEXT, which is not read.")
        wanted[int(partition)] = (int(first) if first else None, int(end) if end else None)
    return wanted


class Offsets:
    """Looks into a topic to turn `Wanted` into spans. Use it as a context manager. Raises `MissingServer`."""

    def __init__(self, access: Access, topic: Topic) -> None:
        self._access, self._topic = access, topic
        try:
            self._consumer = KafkaConsumer(
                **access.client(),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=_FETCH_BYTES,
            )
        except (KafkaError, ValueError) as error:
            raise no_broker(access, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def spans(self, wanted: Wanted, horizon_ms: int) -> dict[int, Span]:
        """Return the span of every wanted partition that holds a record. Raises `UsageError`, `MissingServer`.

        The log ends where the first open transaction begins, if there is one.
        """
        partitions = sorted(wanted.offsets) or range(self._topic.partitions)
        if unknown := [partition for partition in partitions if partition >= self._topic.partitions]:
            raise UsageError(
                f"topic {self._topic.name} has no partition {unknown[0]}",
                hint=f"Its partitions are 0 to {self._topic.partitions - 1}.",
            )
        assigned = [TopicPartition(self._topic.name, partition) for partition in partitions]
        try:
            starts, ends = self._consumer.beginning_offsets(assigned), self._consumer.end_offsets(assigned)
            spans = {at.partition: self._span(wanted, horizon_ms, at, (starts[at], ends[at])) for at in assigned}
        except KafkaError as error:
            raise no_broker(self._access, error) from None
        return {partition: span for partition, span in spans.items() if span.first < span.end}

    def _span(self, wanted: Wanted, horizon_ms: int, at: TopicPartition, log: tuple[int, int]) -> Span:
        self._consumer.assign([at])
        first, end = self._bounds(wanted, at, log)
        return Span(first, end, first if wanted.cold else self._warm(at, log[0], first, horizon_ms), log[0])

    def _bounds(self, wanted: Wanted, at: TopicPartition, log: tuple[int, int]) -> tuple[int, int]:
        first, end = wanted.offsets.get(at.partition, (None, None))
        if (first is not None and not log[0] <= first <= log[1]) or (end is not None and end > log[1]):
            raise UsageError(
                f"partition {at.partition} of topic {at.topic} holds offsets {log[0]} to {log[1]} (not included)",
                hint="Ask for a part of that with --offsets.",
            )
        if wanted.since is not None:
            first = self._first_at(at, wanted.since, log, log[1])
        if wanted.until is not None:
            end = min(self._first_at(at, wanted.until, log, log[1]) + 1, log[1])
        return log[0] if first is None else first, log[1] if end is None else end

    def _warm(self, at: TopicPartition, start: int, first: int, horizon_ms: int) -> int:
        """Return where a fold has to start so that the joiner knows at `first` all that the live worker's knew."""
        seen = self._next_event(at, first, self._consumer.end_offsets([at])[at]) if first > start else None
        return self._first_at(at, seen.time - horizon_ms - SETTLED_MS, (start, first), first) if seen else start

    def _first_at(self, at: TopicPartition, time: int, log: tuple[int, int], absent: int) -> int:
        """Return the offset of the first event at or past `time` in [log), `absent` if there is none."""
        low, high = log
        while high - low > _NEAR:
            middle = (low + high) // 2
            seen = self._next_event(at, middle, high)
            if seen is None or seen.time >= time - SETTLED_MS:
                high = middle
            else:
                low = seen.offset + 1
        return next((seen.offset for seen in self._events(at, low, log[1]) if seen.time >= time), absent)

    def _next_event(self, at: TopicPartition, offset: int, end: int) -> Seen | None:
        return next(self._events(at, offset, end), None)

    def _events(self, at: TopicPartition, offset: int, end: int) -> Iterator[Seen]:
        """Yield the events in [offset, end); what is none is passed over."""
        self._consumer.seek(at, offset)
        while offset < end:
            for record in self._consumer.poll(timeout_ms=_POLL_MS, max_records=_NEAR).get(at, []):
                if record.offset >= end:
                    return
                try:
                    yield Seen(record.offset, events.decode(record.value).ingest_time)
                except EventRejected:
                    continue
            offset = self._consumer.position(at)
