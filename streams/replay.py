"""Replay: recorded events through the live pipeline, without Kafka. The same `PartitionWriter`, another source.

Effectively-once under one condition: the source gives the same records in the same order each time. It resumes where
it was interrupted: records that the chains hold already are dropped by their offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from contracts.errors import ChainTaken
from contracts.layout import Layout
from contracts.sealed import digest
from contracts.shards import Shard
from streams.join import Windows
from streams.log import LogRecord
from streams.pipeline import Record, Rotation, Topic
from streams.shard_writer import PartitionWriter
from streams.sources.source import Source

CHUNK = 4096
NO_END = 1 << 62  # a log that is read from its start tells its end only there
IDENTIFYING = 100


def log_topic(source: Source, name: str, partitions: int, tick_ms: int) -> Topic:
    """Return the identity of a log that no broker has given a UUID: its name, its ticks, its first events' digest."""
    keyed = (record.value for record in source.records(partitions, tick_ms) if record.key is not None)
    return Topic(name, f"log:{source.name}:{tick_ms}:{digest(b''.join(islice(keyed, IDENTIFYING)))[:16]}", partitions)


@dataclass(frozen=True)
class Rules:
    """How a partition is folded."""

    windows: Windows
    rotation: Rotation


class Replay:
    """Folds a log into the shards of all partitions of `topic`; the offsets of a partition count up from 0."""

    def __init__(self, layout: Layout, topic: Topic, rules: Rules) -> None:
        self.topic = topic
        self._writers = [
            PartitionWriter(layout, topic, partition, rules.windows, rules.rotation)
            for partition in range(topic.partitions)
        ]
        for writer in self._writers:
            writer.begin(0, NO_END)
        self._offsets = [0] * topic.partitions
        self._chunks: list[list[Record]] = [[] for _ in self._writers]

    def fold(self, records: Iterable[LogRecord], progress: Callable[[int], None] = lambda count: None) -> None:
        """Take records (of all partitions, in time order); complete shards are committed on the way."""
        for count, record in enumerate(records, start=1):
            chunk = self._chunks[record.partition]
            chunk.append(Record(self._offsets[record.partition], record.value))
            self._offsets[record.partition] += 1
            if len(chunk) >= CHUNK:
                self._feed(record.partition)
            if count % CHUNK == 0:
                progress(CHUNK)
        for partition in range(self.topic.partitions):
            self._feed(partition)

    def committed(self) -> list[Shard | None]:
        """Return the newest committed shard of every partition."""
        return [writer.committed for writer in self._writers]

    def close(self) -> None:
        """Release all state DBs; records after the last complete shard are read again by the next run."""
        for writer in self._writers:
            writer.close()

    def _feed(self, partition: int) -> None:
        chunk, writer = self._chunks[partition], self._writers[partition]
        self._chunks[partition] = []
        writer.feed(chunk)
        if writer.expected < self._offsets[partition]:
            raise ChainTaken(
                f"another process folds partition {partition} of {self.topic.name} under the same run folder",
                hint="Let one of the two finish, or give each its own --root.",
            )
