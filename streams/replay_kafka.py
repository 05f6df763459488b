"""Spans of a topic, read from Kafka by the child process that folds them. By aiokafka, as the live worker reads.

Committed records alone (read_committed), each batch's CRC-32C checked. A span ends at an offset that was fixed before
the first record was read, so that the reading ends too, whatever is written meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from contracts.errors import LogLost, MissingServer, UsageError
from contracts.layout import Layout
from streams.access import Access
from streams.records import KafkaRecord
from streams.refusals import no_broker
from streams.replay import CHUNK, ReplayWriter
from streams.replay_frames import Begin, Folded, FromChild, Ready
from streams.settings import StreamsSettings
from streams.shard_writer import PartitionWriter

_FETCH_BYTES = 4 << 20  # of a partition, at once
_POLL_MS = 500
_PATIENCE_S = 60


def fold_spans(layout: Layout, begin: Begin, tell: Callable[[FromChild], None]) -> dict[int, str]:
    """Fold the spans of all partitions in `begin`, and commit the last shard of each as it stands.

    Returns the digest over all samples of each partition, but for their source.

    Raises `LogLost`, `MissingServer`, `UsageError` where the run folder holds another span, `ChainTaken`.
    """
    writers = {partition: _opened(layout, begin, partition) for partition in begin.partitions}
    try:
        tell(Ready({partition: writer.expected for partition, writer in writers.items()}))
        asyncio.run(_Reading(begin, writers, tell).read(StreamsSettings.load(bootstrap=begin.bootstrap).access))
        for writer in writers.values():
            writer.finish()
        tell(Folded(0, last=True))
        return {partition: writer.digest for partition, writer in writers.items()}
    finally:
        for writer in writers.values():
            writer.close()


def _opened(layout: Layout, begin: Begin, partition: int) -> ReplayWriter:
    span = begin.spans[partition]
    writer = PartitionWriter(layout, begin.topic, partition, begin.rules.windows, begin.rules.rotation)
    head = writer.committed
    if head is None:
        writer.begin(span.warm, span.end, span.first)
        return ReplayWriter(begin.topic, partition, writer)
    first = writer.chain.read(1).body.first_offset
    if first != span.first or head.next_offset > span.end:
        raise UsageError(
            f"{layout.root} holds records {first} to {head.next_offset - 1} of partition {partition} of "
            f"{begin.topic.name}, and records {span.first} to {span.end - 1} are asked for",
            hint="Give every range a --root of its own. What was begun goes on with the range that it was begun with.",
        )
    writer.begin(span.log_start, span.end)
    return ReplayWriter(begin.topic, partition, writer)


class _Reading:
    """One reading of several spans, each from where its writer stands."""

    def __init__(self, begin: Begin, writers: dict[int, ReplayWriter], tell: Callable[[FromChild], None]) -> None:
        self._begin, self._writers, self._tell = begin, writers, tell
        self._open = {
            TopicPartition(begin.topic.name, partition): begin.spans[partition].end
            for partition, writer in writers.items()
            if writer.expected < begin.spans[partition].end
        }
        self._heard = time.monotonic()

    async def read(self, access: Access) -> None:
        """Read until every span is folded. Raises `MissingServer` when the broker falls silent."""
        if not self._open:
            return
        consumer = AIOKafkaConsumer(
            **_client(access),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        try:
            await consumer.start()
            consumer.assign(list(self._open))
            for assigned in self._open:
                consumer.seek(assigned, self._writers[assigned.partition].expected)
            while self._open:
                await self._turn(consumer, access)
        except OffsetOutOfRangeError as error:
            raise _deleted(self._begin, error) from None
        except KafkaError as error:
            raise no_broker(access, error) from None
        finally:
            await consumer.stop()

    async def _turn(self, consumer: Any, access: Access) -> None:
        """Take what has come, and close the spans whose end is reached, also where nothing but markers is before it."""
        for assigned, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=CHUNK)).items():
            self._take(assigned, records)
            self._heard = time.monotonic()
        for assigned in [at for at, end in self._open.items() if await consumer.position(at) >= end]:
            consumer.pause(assigned)
            del self._open[assigned]
            self._heard = time.monotonic()
        self._tell(Folded(0))  # fails when the parent has died
        if time.monotonic() - self._heard > _PATIENCE_S:
            raise MissingServer(
                f"no record has come from {access} for {_PATIENCE_S} s, and the log goes on",
                hint="See to the broker, then run the same command again: it goes on from here.",
            )

    def _take(self, assigned: TopicPartition, records: Sequence[KafkaRecord]) -> None:
        end = self._begin.spans[assigned.partition].end
        inside = records if records[-1].offset < end else [record for record in records if record.offset < end]
        if inside:
            self._writers[assigned.partition].feed(inside)
            self._tell(Folded(len(inside)))


def _client(access: Access) -> dict[str, Any]:
    """Return how aiokafka reaches the cluster: as kafka-python does, but it has no time limit for the first broker."""
    return {name: value for name, value in access.client().items() if name != "bootstrap_timeout_ms"}


def _deleted(begin: Begin, error: Exception) -> LogLost:
    return LogLost(
        f"records of topic {begin.topic.name} that are needed were deleted while they were being read: {error}",
        hint="Retention is quicker than this replay: raise it, or begin later, under another --root.",
    )
