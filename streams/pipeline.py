"""One partition's way from records to shards: decode, join, collect, rotate. Pure: no clock, no Kafka, no file.

The live worker and the replay call the same `process`; where a chunk of records ends leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from contracts import events
from contracts.errors import EventRejected
from contracts.events import Click, Event, Request
from contracts.partitions import partition_of
from contracts.shards import DeadLetter, Rebuild, Shard
from streams.clock import NO_WATERMARK, Reading
from streams.join import STATE, Changes, Joiner, Windows
from streams.marks import Mark, Marks, mark_of
from streams.open_shard import NEVER, ClosedShard, OpenShard

KEPT_BYTES = 512
MAX_SHARD_BYTES = 32 << 20
BATCH = 512  # records decoded, and what they ask for fetched, at once: few enough for the processor's cache
SAVED = b"!pipeline"
KEYED = (Click, Request)  # by user: they live in the user's partition


class KafkaRecord(Protocol):
    """A Kafka record as the pipeline needs it."""

    @property
    def offset(self) -> int:
        """Its position in the partition."""

    @property
    def value(self) -> bytes | None:
        """Its value."""


class Record(NamedTuple):
    """A record that does not come from a Kafka client."""

    offset: int
    value: bytes | None


@dataclass(frozen=True)
class Topic:
    """The identity of a log: `topic_id` is the broker's UUID, or the name of a replayed source."""

    name: str
    topic_id: str
    partitions: int


class Rotation(msgspec.Struct, frozen=True):
    """When a shard is complete: after so many samples or dead letters, or at the next `bucket_ms` of watermark.

    And at 32 MiB, whatever it holds, so that no input can make an open shard outgrow the memory.
    """

    samples: int = 4096
    bucket_ms: int = 60_000


class Saved(msgspec.Struct, frozen=True):
    """What a state DB holds under the key `SAVED`, beside what the joiner remembers."""

    reading: Reading
    marks: tuple[Mark, ...]


unpack_saved = msgspec.msgpack.Decoder(Saved).decode


class Start(NamedTuple):
    """Where a pipeline goes on: the next record and sample of the chain, the watermark there, the marks so far."""

    next_offset: int = 0
    next_ordinal: int = 0
    watermark: int = NO_WATERMARK
    marks: Sequence[Mark] = ()

    @classmethod
    def after(cls, head: Shard, marks: Sequence[Mark]) -> Start:
        """Return the start after the head of a chain."""
        return cls(head.next_offset, head.next_ordinal, head.watermark, marks)


class Pipeline:
    """Folds the records of one partition, in order, into shards.

    `expected` is the next offset to feed. A cold joiner is fed from `Rebuild.offset`: outputs of records below
    `start.next_offset` are suppressed, since the chain holds them already.
    """

    def __init__(self, topic: Topic, partition: int, joiner: Joiner, rotation: Rotation, start: Start) -> None:
        self.topic, self.partition = topic, partition
        self.joiner, self.rotation = joiner, rotation
        self.expected = self._live_from = start.next_offset
        self._marks = Marks(joiner.windows.horizon_ms, joiner.watermark, start.marks)
        self._shard = OpenShard(start.next_offset, start.next_ordinal, self._bucket_end(start.watermark))

    @classmethod
    def cold(cls, topic: Topic, partition: int, joiner: Joiner, rotation: Rotation, head: Shard | None) -> Pipeline:
        """Return a pipeline to be fed from where `head` says that a rebuild starts, with a joiner set to that place."""
        if head is None:
            return cls(topic, partition, joiner, rotation, Start())
        pipeline = cls(topic, partition, joiner, rotation, Start.after(head, (mark_of(head.rebuild),)))
        pipeline.expected = head.rebuild.offset
        return pipeline

    @property
    def rebuilding(self) -> bool:
        """Whether the records that come next are in the chain already."""
        return self.expected < self._live_from

    @property
    def collected(self) -> tuple[int, int]:
        """Samples and bytes of the open shard."""
        return len(self._shard.joined), self._shard.bytes

    def start_at(self, offset: int, warm_from: int) -> None:
        """Begin a new chain at `offset`; the records before it, from `warm_from` on, only warm the joiner."""
        self.expected, self._live_from = warm_from, offset
        self._shard = OpenShard(offset, 0, NEVER)

    def finish(self) -> ClosedShard | None:
        """Return the open shard as it stands, because nothing follows; None where no record is in it."""
        return self._close() if self.expected > self._shard.first_offset else None

    def process(self, records: Iterable[KafkaRecord]) -> Iterator[ClosedShard]:
        """Take records from `expected` on (earlier ones are dropped); yield each shard as it becomes complete."""
        remaining = iter(records)
        while batch := list(islice(remaining, BATCH)):
            if batch[0].offset < self.expected:
                batch = [record for record in batch if record.offset >= self.expected]
            decoded = self._decoded(batch)
            self.joiner.recall(decoded)
            for record, event in zip(batch, decoded, strict=True):
                if record.offset < self.expected:  # a source that goes back within a batch
                    continue
                if isinstance(event, EventRejected):
                    self._reject(record, event)
                else:
                    self._join(event, record)
                self.expected = record.offset + 1
                if (self.joiner.clock.watermark >= self._shard.ends_at or self._is_full()) and not self.rebuilding:
                    yield self._close()

    def lost(self, until: int, reason: str, windows: Windows) -> ClosedShard:
        """Return the manifest that admits that the log no longer holds what comes next, up to the offset `until`.

        Clicks that were parked leave as orphans. What the joiner remembered goes: its records cannot be read again, so
        that a rebuild would not find it either. From here on `windows` are in force.
        """
        self._shard.joined = self.joiner.release_all()
        body = self._body(max(until, self._live_from))
        rebuild = Rebuild(body.next_offset, body.watermark)
        lost = msgspec.structs.replace(body, kind="lost", reason=reason, rebuild=rebuild, windows=windows.in_words())
        mark = mark_of(rebuild)
        saved = msgspec.msgpack.encode(Saved(mark.reading, (mark,)))
        changes: Changes = {STATE: None, SAVED: saved}
        return ClosedShard(lost, self._shard.files(self.topic.name, self.partition), changes)

    def _decoded(self, batch: Sequence[KafkaRecord]) -> list[Event | EventRejected]:
        decoded = events.decode_all([record.value for record in batch])
        count, mine = self.topic.partitions, self.partition
        for at, event in enumerate(decoded):
            if isinstance(event, KEYED) and partition_of(event.user_id, count) != mine:
                lives = f"the user lives in partition {partition_of(event.user_id, count)}, not in {mine}"
                decoded[at] = EventRejected("wrong_partition", lives)
        return decoded

    def _reject(self, record: KafkaRecord, rejection: EventRejected) -> None:
        if record.offset < self._live_from:
            return
        shard, value = self._shard, (record.value or b"")[:KEPT_BYTES].decode("latin-1")
        at = (self.topic.name, self.partition, record.offset)
        shard.dead_letters.append(DeadLetter(*at, rejection.reason, rejection.detail[:KEPT_BYTES], value))
        shard.read[f"rejected:{rejection.reason}"] += 1
        shard.bytes += len(value)

    def _join(self, event: Event, record: KafkaRecord) -> None:
        joiner, shard, marks = self.joiner, self._shard, self._marks
        offset, size = record.offset, len(record.value or b"")
        if event.ingest_time < marks.next_at:
            outcome, leaving = joiner.take(event, offset, size)
        else:
            before = joiner.clock.reading()
            outcome, leaving = joiner.take(event, offset, size)
            marks.note(before, joiner.watermark, offset)
        if offset < self._live_from:
            return
        if shard.ends_at == NEVER:  # the log's first event sets the clock
            shard.ends_at = self._bucket_end(joiner.watermark)
        shard.read[outcome] += 1
        shard.bytes += size
        for joined in leaving:
            shard.joined.append(joined)
            if joined.request:
                shard.bytes += joined.request.size

    def _bucket_end(self, watermark: int) -> int:
        bucket = self.rotation.bucket_ms
        return NEVER if watermark == NO_WATERMARK else (watermark // bucket + 1) * bucket

    def _is_full(self) -> bool:
        shard, enough = self._shard, self.rotation.samples
        return len(shard.joined) >= enough or shard.bytes >= MAX_SHARD_BYTES or len(shard.dead_letters) >= enough

    def _close(self) -> ClosedShard:
        shard, body = self._shard, self._body(self.expected)
        changes = self.joiner.take_changes()
        changes[SAVED] = msgspec.msgpack.encode(Saved(self.joiner.clock.reading(), self._marks.all()))
        self._shard = OpenShard(body.next_offset, body.next_ordinal, self._bucket_end(body.watermark))
        return ClosedShard(body, shard.files(self.topic.name, self.partition), changes)

    def _body(self, next_offset: int) -> Shard:
        shard = self._shard
        first_event_time, last_event_time = shard.event_times()
        return Shard(
            topic=self.topic.name,
            topic_id=self.topic.topic_id,
            partition=self.partition,
            partitions=self.topic.partitions,
            first_offset=shard.first_offset,
            next_offset=next_offset,
            first_ordinal=shard.first_ordinal,
            next_ordinal=shard.next_ordinal,
            watermark=self.joiner.watermark,
            first_event_time=first_event_time,
            last_event_time=last_event_time,
            records=sum(shard.read.values()),
            read=dict(sorted(shard.read.items())),
            emitted=shard.emitted(),
            rebuild=self._marks.rebuild(shard.first_offset),
            windows=self.joiner.windows.in_words(),
        )
