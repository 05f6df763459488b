"""Which records of a topic a replay takes: offsets as they are given, or a range of the log's own time.

The log's time is what its clock shows (`streams.clock`), which ingest times move and no single one that leaps; Kafka's
timestamps say when a record was produced: of a log that was filled later, that is another day. `streams.replay_clock`
finds a time in each partition, and says under which condition that is exact.

[since, until) becomes the records from the first one with which the clock shows `since` or more to the first one with
which it shows `until` or more, that one included: with it the watermark has come to `until`, and the day is complete.
Before them everything within the joiner's horizon is read to warm the joiner, from a record at which a new clock goes
on as the log's: so the samples are those of the live worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contracts import events
from contracts.errors import EventRejected, MissingServer, UsageError
from contracts.partitions import partition_of
from streams.access import Access
from streams.batch import KEYED
from streams.join import Windows
from streams.records import Topic
from streams.refusals import no_broker
from streams.replay_clock import NEAR, Arrival, ClockSearch, Seen
from streams.replay_frames import Span

_POLL_MS = 1000
_IDLE_POLLS = 60  # that many in a row bring the reading nowhere: the broker has fallen silent
_FETCH_BYTES = 1 << 17


@dataclass(frozen=True)
class Wanted:
    """A part of a topic; empty: all of it.

    `offsets`: [first, next) by partition, None: where the log starts or ends now; other partitions are left out.
    `since`, `until` (ms of the log's clock): of all partitions. `cold`: nothing is read to warm the joiner, but for
    what sets the clock right.
    """

    offsets: dict[int, tuple[int | None, int | None]]
    since: int | None = None
    until: int | None = None
    cold: bool = False


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

    def spans(self, wanted: Wanted, windows: Windows) -> dict[int, Span]:
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
            spans = {at.partition: self._span(wanted, windows, at, (starts[at], ends[at])) for at in assigned}
        except KafkaError as error:
            raise no_broker(self._access, error) from None
        return {partition: span for partition, span in spans.items() if span.first < span.end}

    def _span(self, wanted: Wanted, windows: Windows, at: TopicPartition, log: tuple[int, int]) -> Span:
        self._consumer.assign([at])
        search = ClockSearch(windows.leaps, partial(self._events, at), log)
        first, end = self._offsets(wanted, at, log)
        beginning: Arrival | None = None
        if wanted.since is not None:
            beginning = search.at_time(wanted.since)
            first = beginning.offset if beginning else log[1]
        elif first > log[0]:
            beginning = search.at_offset(first)
        if wanted.until is not None:
            reached = search.at_time(wanted.until)
            end = reached.offset + 1 if reached else log[1]
        if beginning and not wanted.cold:
            beginning = search.at_time(beginning.before - windows.horizon_ms)  # with the first record much may leave
        return Span(first, end, min(first, beginning.set_at) if beginning else first, log[0])

    def _offsets(self, wanted: Wanted, at: TopicPartition, log: tuple[int, int]) -> tuple[int, int]:
        first, end = wanted.offsets.get(at.partition, (None, None))
        if (first is not None and not log[0] <= first <= log[1]) or (end is not None and end > log[1]):
            raise UsageError(
                f"partition {at.partition} of topic {at.topic} holds offsets {log[0]} to {log[1]} (not included)",
                hint="Ask for a part of that with --offsets.",
            )
        return log[0] if first is None else first, log[1] if end is None else end

    def _events(self, at: TopicPartition, offset: int, end: int) -> Iterator[Seen]:
        """Yield the events in [offset, end); what is none to a joiner is passed over.

        Raises `MissingServer` when none comes.
        """
        self._consumer.seek(at, offset)
        idle = 0
        while offset < end:
            for record in self._consumer.poll(timeout_ms=_POLL_MS, max_records=NEAR).get(at, []):
                if record.offset >= end:
                    return
                try:
                    event = events.decode(record.value)
                except EventRejected:
                    continue
                if not isinstance(event, KEYED) or partition_of(event.user_id, self._topic.partitions) == at.partition:
                    yield Seen(record.offset, event.ingest_time)
            before, offset = offset, self._consumer.position(at)
            idle = 0 if offset > before else idle + 1
            if idle == _IDLE_POLLS:
                raise MissingServer(
                    f"no record of partition {at.partition} of topic {at.topic} has come from {self._access} for "
                    f"{idle * _POLL_MS // 1000} s, and the log goes on after offset {offset}",
                    hint="See to the broker, then run the same command again.",
                )
