"""Chains of shards written directly, without a log: for everything downstream of the streams stage."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from contracts import sample_encoding, shards
from contracts.chain import Entry
from contracts.events import Context
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.samples import Sample, Source, columns_of
from contracts.shards import Rebuild, Shard


@dataclass(frozen=True)
class Log:
    """The log that the shards pretend to come from."""

    topic: str = "events"
    topic_id: str = "test-topic-id"
    partitions: int = 1


def click(user: str, item: str, time: int, context: Context = Context()) -> Sample:  # noqa: B008
    """A direct sample at `time` (ms), emitted at once; `by_partition` gives it its place."""
    return Sample(user, item, time, context, (), "direct", "", 0, time, 0, Source("events", 0, 0))


def by_partition(log: Log, found: Iterable[Sample]) -> dict[int, list[Sample]]:
    """Spread samples (ordered by watermark) over the partitions of their users and number them."""
    parts: dict[int, list[Sample]] = {partition: [] for partition in range(log.partitions)}
    for sample in found:
        partition = partition_of(sample.user_id, log.partitions)
        ordinal = len(parts[partition])
        source = Source(log.topic, partition, ordinal)
        parts[partition].append(msgspec.structs.replace(sample, ordinal=ordinal, source=source))
    return parts


@dataclass
class ShardWriter:
    """Appends shards to one partition's chain. One record per sample; a tick ends each shard."""

    layout: Layout
    log: Log = field(default_factory=Log)
    partition: int = 0

    def append(self, found: Sequence[Sample], watermark: int) -> Entry[Shard]:
        """Commit the next shard with these samples (ordinals going on) and this watermark at its end (ms)."""
        chain = shards.chain(self.layout, self.log.topic, self.partition)
        head = chain.head()
        offset, ordinal = (head.body.next_offset, head.body.next_ordinal) if head else (0, 0)
        times = [sample.event_time for sample in found] or [0]
        body = Shard(
            topic=self.log.topic,
            topic_id=self.log.topic_id,
            partition=self.partition,
            partitions=self.log.partitions,
            first_offset=offset,
            next_offset=offset + len(found) + 1,
            first_ordinal=ordinal,
            next_ordinal=ordinal + len(found),
            watermark=watermark,
            first_event_time=min(times),
            last_event_time=max(times),
            records=len(found) + 1,
            read={"click": len(found), "tick": 1},
            emitted={"direct": len(found)},
            rebuild=Rebuild(0, -1),
        )
        files = {shards.SAMPLES: sample_encoding.encode(columns_of(found))} if found else {}
        entry = chain.prepare(head, body, files)
        chain.create(entry)
        return entry


def write_log(layout: Layout, log: Log, found: Iterable[Sample], end: int, sizes: Iterable[int] = (4096,)) -> None:
    """Write all samples (ordered by watermark) as shards of `sizes` samples, over and over.

    A shard's watermark is that of its last sample; the last shard of each partition is a manifest alone at `end` (ms).
    """
    for partition, part in by_partition(log, found).items():
        writer, at = ShardWriter(layout, log, partition), 0
        for size in itertools.cycle(sizes):
            if at >= len(part):
                break
            writer.append(part[at : at + size], part[min(at + size, len(part)) - 1].watermark)
            at += size
        writer.append([], end)
