"""One assigned partition in a worker: its writer, the chunks that wait for it, and the task that feeds it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from faust.types import TP

from contracts.layout import Layout
from contracts.shards import Shard
from streams.dead_letters import DeadLetterTopic
from streams.pipeline import KafkaRecord, Topic
from streams.settings import StreamsSettings
from streams.shard_writer import PartitionWriter
from streams.topics import Log
from streams.vitals import Vitals

Result = TypeVar("Result")
COMMITTERS = 4
WAITING_CHUNKS = 2
logger = logging.getLogger("freshet.streams")


@dataclass(frozen=True)
class Place:
    """What all partitions of a worker share. One of its threads folds at a time; the others commit meanwhile."""

    layout: Layout
    settings: StreamsSettings
    topic: Topic
    log: Log
    vitals: Vitals
    dead_letters: DeadLetterTopic
    folding: threading.Lock = field(default_factory=threading.Lock)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(COMMITTERS, "shards"))

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` in a thread, so that fetching and heartbeats go on."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)


class OwnedPartition:
    """A partition from its assignment to its revocation.

    Use: `put` its chunks as they are fetched; `run` in a task of its own, which recovers the chain and then feeds
    them; `close` when Kafka takes it away. `consumer` is Faust's. `hint`: the offset that Kafka may be told, None
    where there is nothing new.
    """

    def __init__(self, place: Place, partition: int, consumer: Callable[[], Any]) -> None:
        self._place, self._consumer = place, consumer
        self._tp = TP(place.topic.name, partition)
        self._chunks: asyncio.Queue[Sequence[KafkaRecord]] = asyncio.Queue(WAITING_CHUNKS)
        self._busy = asyncio.Lock()
        self._writer: PartitionWriter | None = None
        self._closed = self._fed = False
        self._sought: tuple[int, int] | None = None
        self.hint: int | None = None

    async def put(self, records: Sequence[KafkaRecord]) -> None:
        """Take a chunk; waits while enough of them wait already."""
        if not self._closed:
            await self._chunks.put(records)

    async def run(self) -> None:
        """Recover the chain, then feed chunk after chunk, until the task is cancelled."""
        async with self._busy:
            if not self._closed:
                self._writer = await self._place.run(self._open)
        while True:
            records = await self._chunks.get()
            async with self._busy:
                if self._writer is not None:
                    await self._feed(self._writer, records)

    async def close(self) -> None:
        """Release the state after the chunk in hand; chunks that wait are forgotten: the next owner reads them."""
        self._closed = True
        async with self._busy:
            writer, self._writer = self._writer, None
            if writer is not None:
                await self._place.run(writer.close)
        while not self._chunks.empty():  # whoever waits to put one more goes on
            self._chunks.get_nowait()

    async def look_after(self) -> None:
        """Look at a partition from which nothing has come since the last call.

        An offset that was committed is a hint: where Kafka's position is ahead of ours, the state behind it is gone,
        and no further record may ever come, so seek back, once. Where it is behind, the log may have lost its tail.
        """
        fed, self._fed = self._fed, False
        if fed or self._busy.locked():
            return
        async with self._busy:
            if (writer := self._writer) is None:
                return
            expected, position = writer.expected, await self._consumer().position(self._tp) or 0
            if position < expected:
                await self._place.run(lambda: writer.check_log(*self._place.log.span(self._tp.partition)))
            elif position > expected and self._sought != (position, expected):
                self._sought = (position, expected)
                await self._consumer().seek(self._tp, expected)
            else:  # up to the position there are markers alone
                self._place.vitals.fed(self._tp.partition, 0, position)

    def _open(self) -> PartitionWriter:
        place, partition = self._place, self._tp.partition
        settings = place.settings
        writer = PartitionWriter(place.layout, place.topic, partition, settings.windows, settings.rotation)
        writer.begin(*place.log.span(partition))
        place.vitals.opened(partition, writer.expected, writer.committed)
        facts = {"topic": place.topic.name, "partition": partition, "from_offset": writer.expected}
        logger.info("partition opened", extra={"facts": facts})
        return writer

    async def _feed(self, writer: PartitionWriter, records: Sequence[KafkaRecord]) -> None:
        self._fed = True
        if records[0].offset > writer.expected and not await self._is_gap(writer, records[0].offset):
            await self._consumer().seek(self._tp, writer.expected)
            return
        await self._place.run(lambda: self._fold(writer, records))
        if writer.expected <= records[-1].offset:  # the chain was lost to another owner and won back
            self._place.vitals.lost_race(self._tp.partition)
            await self._consumer().seek(self._tp, writer.expected)

    def _fold(self, writer: PartitionWriter, records: Sequence[KafkaRecord]) -> None:
        vitals, partition = self._place.vitals, self._tp.partition

        def committed(shard: Shard, seconds: float) -> None:
            self.hint = shard.next_offset
            vitals.committed(partition, shard, seconds)

        if writer.feed(records, committed, self._place.folding):
            self._place.dead_letters.send(writer)
        vitals.fed(partition, len(records), writer.expected)
        vitals.open_buffer(partition, *writer.collected)

    async def _is_gap(self, writer: PartitionWriter, offset: int) -> bool:
        """Tell whether the log itself has no record between the expected one and `offset`."""
        log, partition = self._place.log, self._tp.partition
        return await self._place.run(lambda: log.next_available(partition, writer.expected)) >= offset
