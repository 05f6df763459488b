"""One partition's way from records to shards: decode, join, collect, rotate. Pure: no clock, no Kafka, no file.

The live worker and the replay call the same `process`; where a chunk of records ends leaves no trace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from contracts.shards import Rebuild, Shard
from streams.batch import Batch, Reader
from streams.clock import NEVER, NO_WATERMARK, LogClock, Reading
from streams.join import STATE, Joiner, Room, Taken, Windows
from streams.marks import Mark, Marks, mark_of
from streams.open_shard import ClosedShard, OpenShard
from streams.records import KafkaRecord, Topic

MAX_SHARD_BYTES = 32 << 20
BATCH = 1024  # records decoded, and what they ask for fetched, at once: few enough for the processor's cache
ANY_ROOM = Room(NEVER, NEVER)
SAVED = b"!pipeline"


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
        self._reader = Reader(topic, partition, LogClock(joiner.windows.leaps, joiner.reading))
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
        while some := list(islice(remaining, BATCH)):
            batch = self._reader.read(some, self.expected)
            if batch is not None:
                yield from self._take(batch)

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
        return self._shard.closed(lost, [{STATE: None}, {SAVED: saved}])

    def _take(self, batch: Batch) -> Iterator[ClosedShard]:
        self.joiner.recall(batch)
        at = 0
        while at < len(batch.offsets):
            at = self._take_stretch(batch, at)
            if not self.rebuilding and (self.joiner.watermark >= self._shard.ends_at or self._is_full()):
                yield self._close()

    def _take_stretch(self, batch: Batch, first: int) -> int:
        """Take records from number `first` on, and return where it ends.

        All that the clock does in a stretch, it does at its first record: timers fall due, marks are set. Only its last
        record may complete the shard.
        """
        watermark, offset = batch.course.watermarks[first + 1], batch.offsets[first]
        if watermark >= self._marks.next_at:
            self._marks.note(batch.course.after(first), watermark, offset)
        live = offset >= self._live_from
        if live and self._shard.ends_at == NEVER:  # the log's first event sets the clock
            self._shard.ends_at = self._bucket_end(watermark)
        taken = self.joiner.take(first, self._calm_until(batch, first), self._room() if live else ANY_ROOM)
        end = first + len(taken.outcomes)
        self.expected = batch.offsets[end - 1] + 1
        if live:
            self._collect(batch, first, taken)
        return end

    def _calm_until(self, batch: Batch, first: int) -> int:
        """Return before which record a stretch has to end at the latest that begins with number `first`."""
        watermarks = batch.course.watermarks
        watermark = watermarks[first + 1]
        due = 0 if watermark == NO_WATERMARK else min(self._marks.next_at, self.joiner.calm_until(watermark))
        end = bisect_left(watermarks, due, first + 2) - 1
        end = min(end, bisect_left(watermarks, self._shard.ends_at, first + 1))
        if batch.offsets[first] < self._live_from:
            return min(end, bisect_left(batch.offsets, self._live_from, first))
        last = bisect_left(batch.rejected, first) + self.rotation.samples - len(self._shard.dead_letters) - 1
        return min(end, batch.rejected[last] + 1) if last < len(batch.rejected) else end

    def _room(self) -> Room:
        return Room(self.rotation.samples - len(self._shard.joined), MAX_SHARD_BYTES - self._shard.bytes)

    def _collect(self, batch: Batch, first: int, taken: Taken) -> None:
        shard, end = self._shard, first + len(taken.outcomes)
        shard.joined += taken.leaving
        shard.read.update(taken.outcomes)
        shard.bytes += taken.size
        for number in batch.rejected[bisect_left(batch.rejected, first) : bisect_left(batch.rejected, end)]:
            shard.dead_letters.append(batch.letter(number, self.topic.name, self.partition))

    def _bucket_end(self, watermark: int) -> int:
        bucket = self.rotation.bucket_ms
        return NEVER if watermark == NO_WATERMARK else (watermark // bucket + 1) * bucket

    def _is_full(self) -> bool:
        shard, enough = self._shard, self.rotation.samples
        return len(shard.joined) >= enough or shard.bytes >= MAX_SHARD_BYTES or len(shard.dead_letters) >= enough

    def _close(self) -> ClosedShard:
        shard, body = self._shard, self._body(self.expected)
        saved = msgspec.msgpack.encode(Saved(self.joiner.reading, self._marks.all()))
        changes = [*self.joiner.take_changes(), {SAVED: saved}]
        self._shard = OpenShard(body.next_offset, body.next_ordinal, self._bucket_end(body.watermark))
        return shard.closed(body, changes)

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
