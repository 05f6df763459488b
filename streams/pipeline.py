"""One partition's way from records to shards: decode, join, collect, rotate. Pure: no clock, no I/O, no Kafka.

The live worker and the replay call the same `process`; where a chunk of records ends leaves no trace.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from contracts import events, samples, shards
from contracts.errors import EventRejected
from contracts.events import Click, Request
from contracts.partitions import partition_of
from contracts.samples import Sample, Source
from contracts.shards import DeadLetter, Rebuild, Shard
from streams.join import NO_WATERMARK, JoinedClick, Joiner, Windows

KEPT_BYTES = 512
MAX_SHARD_BYTES = 32 << 20
MARK_MS = 600_000
MARKS = b"marks"


class Record(NamedTuple):
    """A Kafka record as the pipeline needs it."""

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


@dataclass(frozen=True)
class ClosedShard:
    """A complete shard: the body and data files of its manifest, and the joiner's changes that belong to it."""

    body: Shard
    files: dict[str, bytes]
    changes: dict[bytes, bytes | None]


@dataclass(frozen=True)
class Start:
    """Where a pipeline goes on: the next record and sample of the chain, and the time marks before them."""

    next_offset: int
    next_ordinal: int
    marks: tuple[tuple[int, int], ...] = ()


class Pipeline:
    """Folds the records of one partition, in order, into shards.

    `expected` is the next offset to feed. A cold joiner is fed from `Rebuild.offset`: outputs of records below
    `start.next_offset` are suppressed, since the chain holds them already.
    """

    def __init__(self, topic: Topic, partition: int, joiner: Joiner, rotation: Rotation, start: Start) -> None:
        self.topic, self.partition = topic, partition
        self.joiner, self.rotation = joiner, rotation
        self.expected = start.next_offset
        self._live_from = start.next_offset
        self._marks = deque(start.marks)
        self._shard = _OpenShard(start.next_offset, start.next_ordinal, None)

    @classmethod
    def cold(cls, topic: Topic, partition: int, windows: Windows, rotation: Rotation, head: Shard | None) -> Pipeline:
        """Return a pipeline with an empty joiner, to be fed from where `head` says that a rebuild starts."""
        if head is None:
            return cls(topic, partition, Joiner(windows), rotation, Start(0, 0))
        pipeline = cls(
            topic,
            partition,
            Joiner(windows, head.rebuild.watermark),
            rotation,
            Start(head.next_offset, head.next_ordinal, ((head.rebuild.watermark, head.rebuild.offset),)),
        )
        pipeline.expected = head.rebuild.offset
        return pipeline

    def start_at(self, offset: int) -> None:
        """Begin a new chain at the first record that the log still holds."""
        self.expected = self._live_from = offset
        self._shard = _OpenShard(offset, 0, None)

    def process(self, records: Iterable[Record]) -> Iterator[ClosedShard]:
        """Take records from `expected` on (earlier ones are dropped); yield each shard as it becomes complete."""
        for record in records:
            if record.offset < self.expected:
                continue
            if record.offset >= self._live_from and self._shard.bucket is None and self.joiner.watermark >= 0:
                self._shard.bucket = self._bucket()  # a rebuild has ended: the head's shard closed in this bucket
            self._step(record)
            self.expected = record.offset + 1
            if self._shard.bucket is None and self.expected > self._live_from:  # the log's first event sets the clock
                self._shard.bucket = self._bucket()
            if self.expected > self._live_from and self._complete():
                yield self._close()

    def _step(self, record: Record) -> None:
        live = record.offset >= self._live_from
        try:
            event = events.decode(record.value)
            if isinstance(event, Click | Request):
                self._check_partition(event.user_id)
        except EventRejected as rejection:
            outcome: str = f"rejected:{rejection.reason}"
            if live:
                self._shard.dead_letters.append(self._dead_letter(record, rejection))
        else:
            self._mark(event.ingest_time, record.offset)
            released = list(self.joiner.advance(event.ingest_time))
            outcome, leaving = self.joiner.process(event, record.offset)
            if live:
                for joined in (*released, *leaving):
                    self._shard.add(self._sample(joined), joined.joined)
        if live:
            self._shard.read[outcome] += 1

    def _check_partition(self, user_id: str) -> None:
        wanted = partition_of(user_id, self.topic.partitions)
        if wanted != self.partition:
            raise EventRejected("wrong_partition", f"the user lives in partition {wanted}, not in {self.partition}")

    def _dead_letter(self, record: Record, rejection: EventRejected) -> DeadLetter:
        value = (record.value or b"")[:KEPT_BYTES].decode("latin-1")
        return DeadLetter(
            self.topic.name, self.partition, record.offset, rejection.reason, rejection.detail[:KEPT_BYTES], value
        )

    def _sample(self, joined: JoinedClick) -> Sample:
        click, request = joined.click, joined.request
        negatives = request.rejected if request else ()
        return Sample(
            user_id=click.user_id,
            item_id=click.item_id,
            event_time=click.event_time,
            context=request.context if request else click.context,
            hard_negatives=tuple(item for item in negatives if item.item_id != click.item_id),
            joined=joined.joined,
            arm=request.arm if request else "",
            served_version=request.served_version if request else 0,
            watermark=self.joiner.watermark,
            ordinal=self._shard.next_ordinal(),
            source=Source(self.topic.name, self.partition, joined.offset),
        )

    def _mark(self, ingest_time: int, offset: int) -> None:
        """Remember where each stretch of `MARK_MS` of watermark begins, as far back as the horizon reaches."""
        watermark = self.joiner.watermark
        ahead = max(ingest_time, watermark)
        if not self._marks or ahead // MARK_MS > watermark // MARK_MS:
            self._marks.append((watermark, offset))
        oldest = ahead - self.joiner.windows.horizon_ms
        while len(self._marks) > 1 and self._marks[1][0] <= oldest:
            self._marks.popleft()

    def _bucket(self) -> int:
        return self.joiner.watermark // self.rotation.bucket_ms

    def _complete(self) -> bool:
        shard = self._shard
        count = max(len(shard.records), len(shard.dead_letters))
        return count >= self.rotation.samples or shard.bytes >= MAX_SHARD_BYTES or self._bucket() != shard.bucket

    def _close(self) -> ClosedShard:
        shard, watermark = self._shard, self.joiner.watermark
        rebuild_watermark, rebuild_offset = self._marks[0] if self._marks else (NO_WATERMARK, shard.first_offset)
        body = Shard(
            topic=self.topic.name,
            topic_id=self.topic.topic_id,
            partition=self.partition,
            partitions=self.topic.partitions,
            first_offset=shard.first_offset,
            next_offset=self.expected,
            first_ordinal=shard.first_ordinal,
            next_ordinal=shard.next_ordinal(),
            watermark=watermark,
            first_event_time=shard.first_event_time,
            last_event_time=shard.last_event_time,
            records=sum(shard.read.values()),
            read=dict(sorted(shard.read.items())),
            emitted=dict(sorted(shard.emitted.items())),
            rebuild=Rebuild(rebuild_offset, rebuild_watermark),
        )
        changes = {**self.joiner.take_changes(), MARKS: msgspec.msgpack.encode(list(self._marks))}
        self._shard = _OpenShard(self.expected, shard.next_ordinal(), self._bucket())
        return ClosedShard(body, shard.files(), changes)


class _OpenShard:
    """What has been collected since the last rotation."""

    def __init__(self, first_offset: int, first_ordinal: int, bucket: int | None) -> None:
        self.first_offset, self.first_ordinal, self.bucket = first_offset, first_ordinal, bucket
        self.records: list[bytes] = []
        self.dead_letters: list[DeadLetter] = []
        self.read: Counter[str] = Counter()
        self.emitted: Counter[str] = Counter()
        self.first_event_time = self.last_event_time = self.bytes = 0

    def next_ordinal(self) -> int:
        return self.first_ordinal + len(self.records)

    def add(self, sample: Sample, joined: str) -> None:
        first = sample.event_time if not self.records else self.first_event_time
        self.first_event_time = min(first, sample.event_time)
        self.last_event_time = max(self.last_event_time, sample.event_time)
        self.records.append(samples.encode(sample))
        self.bytes += len(self.records[-1])
        self.emitted[joined] += 1

    def files(self) -> dict[str, bytes]:
        files = {}
        if self.records:
            files[shards.SAMPLES] = samples.frame(self.records)
        if self.dead_letters:
            files[shards.DEAD_LETTERS] = shards.encode_dead_letters(self.dead_letters)
        return files
