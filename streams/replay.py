"""Replay: recorded events through the live pipeline, without Kafka. The same `PartitionWriter`, another source.

Effectively-once under one condition: the source gives the same records in the same order each time. It resumes where
it was interrupted: records that the chains hold already are dropped by their offset. Partitions share nothing, so that
their fold may be spread over processes (`streams.replay_processes`); the samples are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Protocol

from contracts import shards
from contracts.errors import ChainTaken, StateDamaged
from contracts.layout import Layout
from contracts.samples import samples_of
from contracts.sealed import digest
from streams.join import Windows
from streams.log import LogRecord
from streams.open_shard import ClosedShard
from streams.pipeline import Rotation
from streams.records import KafkaRecord, Record, Topic
from streams.shard_writer import PartitionWriter
from streams.sources.source import Source

CHUNK = 2048
NO_END = 1 << 62  # a log that is read from its start tells its end only there
IDENTIFYING = 100


def log_topic(source: Source, name: str, partitions: int, tick_ms: int) -> Topic:
    """Return the identity of a log that no broker has given a UUID: its name, its ticks, and a digest.

    Of its files' bytes, of which part of them it is, and of its first events as they are read: where offsets count from
    the start of a log, a log with one line more or less is another log. Raises `MissingInput`.
    """
    keyed = (record.value for record in source.records(partitions, tick_ms) if record.key is not None)
    parts = [*map(_file_digest, source.files), source.part.encode(), *islice(keyed, IDENTIFYING)]
    return Topic(name, f"log:{source.name}:{tick_ms}:{digest(b'/'.join(parts))[:16]}", partitions)


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@dataclass(frozen=True)
class Rules:
    """How a partition is folded."""

    windows: Windows
    rotation: Rotation


class Folding(Protocol):
    """Who folds the partitions: this process (`Owner`), or several others."""

    @property
    def expected(self) -> dict[int, int]:
        """The next offset that each partition wanted when this was made; waits until all are recovered."""

    def feed(self, partition: int, first: int, values: Sequence[bytes]) -> None:
        """Take values with offsets `first` and up; may return before they are folded."""

    def settle(self) -> None:
        """Return when everything that was fed is folded, and every complete shard committed."""

    def close(self) -> None:
        """Release all state DBs; records after the last complete shard are read again by the next run."""


class ReplayWriter:
    """A `PartitionWriter` that also digests what it commits, on top of what was there; `begin` it first."""

    def __init__(self, topic: Topic, partition: int, writer: PartitionWriter) -> None:
        self._topic, self._partition, self._writer = topic, partition, writer
        self._digest = shards.digest_of(writer.chain)

    @property
    def expected(self) -> int:
        """The next offset that `feed` wants."""
        return self._writer.expected

    @property
    def digest(self) -> str:
        """The digest over all committed samples of the partition, but for their source."""
        return self._digest.hexdigest()

    def feed(self, records: Sequence[KafkaRecord]) -> None:
        """Fold at once. Raises `ChainTaken` where another process commits to the same chain, `StateDamaged`."""
        self._writer.feed(records, self._committed)
        if isinstance(self._writer.fell_back, StateDamaged):
            raise self._writer.fell_back
        if self._writer.expected <= records[-1].offset:
            raise ChainTaken(
                f"another process folds partition {self._partition} of {self._topic.name} under the same run folder",
                hint="Let one of the two finish, or give each its own --root.",
            )

    def finish(self) -> None:
        """Commit the open shard as it stands."""
        self._writer.finish(self._committed)

    def close(self) -> None:
        """Release the state DB; records after the last complete shard are read again by the next run."""
        self._writer.close()

    def _committed(self, closed: ClosedShard, _seconds: float) -> None:
        self._digest.add(samples_of(closed.samples))


class Owner:
    """The writers of some partitions of a log, in this process. The offsets of a partition count up from 0."""

    def __init__(self, layout: Layout, topic: Topic, rules: Rules, partitions: Iterable[int]) -> None:
        self._writers = dict[int, ReplayWriter]()
        for partition in partitions:
            writer = PartitionWriter(layout, topic, partition, rules.windows, rules.rotation)
            writer.begin(0, NO_END)
            self._writers[partition] = ReplayWriter(topic, partition, writer)
        self.expected = {partition: writer.expected for partition, writer in self._writers.items()}

    @property
    def digests(self) -> dict[int, str]:
        """The digest over all committed samples of each partition, but for their source."""
        return {partition: writer.digest for partition, writer in self._writers.items()}

    def feed(self, partition: int, first: int, values: Sequence[bytes]) -> None:
        """Fold at once. Raises `ChainTaken` where another process commits to the same chain."""
        self._writers[partition].feed([*map(Record, count(first), values)])

    def settle(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Release all state DBs."""
        for writer in self._writers.values():
            writer.close()


class Replay:
    """Folds a log into the shards of all partitions of `topic`, here or by `folding`."""

    def __init__(self, layout: Layout, topic: Topic, rules: Rules, folding: Folding | None = None) -> None:
        self.topic = topic
        self._folding = folding or Owner(layout, topic, rules, range(topic.partitions))
        self._offsets = [0] * topic.partitions
        self.dropped = 0  # records that the chains hold already
        self._chunks: list[list[bytes]] = [[] for _ in range(topic.partitions)]

    def fold(self, records: Iterable[LogRecord], progress: Callable[[], None] = lambda: None) -> None:
        """Take records (of all partitions, in time order); complete shards are committed when it returns."""
        chunks = self._chunks
        for partition, _, value, _ in records:
            chunk = chunks[partition]
            chunk.append(value)
            if len(chunk) == CHUNK:
                self._hand_over(partition)
                progress()
        for partition in range(self.topic.partitions):
            self._hand_over(partition)
        self._folding.settle()

    def close(self) -> None:
        """Release all state DBs; records after the last complete shard are read again by the next run."""
        self._folding.close()

    def _hand_over(self, partition: int) -> None:
        chunk, first = self._chunks[partition], self._offsets[partition]
        self._chunks[partition], self._offsets[partition] = [], first + len(chunk)
        held = min(max(self._wanted[partition] - first, 0), len(chunk))
        self.dropped += held
        if held < len(chunk):
            self._folding.feed(partition, first + held, chunk[held:])

    @cached_property
    def _wanted(self) -> dict[int, int]:
        return self._folding.expected
