"""One assigned partition in a worker: its writer, the chunks that wait for it, and the task that feeds it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from faust.types import TP

from contracts.errors import ChainTaken
from contracts.layout import Layout
from streams.dead_letters import DeadLetterTopic
from streams.identity import SameTopic
from streams.open_shard import ClosedShard
from streams.records import KafkaRecord, Topic
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
    """What all partitions of a worker share. One thread folds the records of all; others commit meanwhile."""

    layout: Layout
    settings: StreamsSettings
    topic: Topic
    log: Log
    vitals: Vitals
    dead_letters: DeadLetterTopic
    same_topic: SameTopic
    folding: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "fold"))
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(COMMITTERS, "shards"))
    askers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(COMMITTERS, "askers"))

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` in a thread, so that fetching and heartbeats go on."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    def fold(self, step: Callable[[], Result]) -> Result:
        """Do a step of folding in the one thread that folds: its processor's cache stays warm."""
        return self.folding.submit(step).result()

    async def ask(self, work: Callable[[], Result]) -> Result:
        """Run a recovery, or a question to the broker, in other threads: it may take long, and folding goes on."""
        return await asyncio.get_running_loop().run_in_executor(self.askers, work)


class _Chunk(NamedTuple):
    """Records, and when they had been fetched (of `time.monotonic`)."""

    records: Sequence[KafkaRecord]
    arrived: float


class OwnedPartition:
    """A partition from its assignment to its revocation.

    Use: `put` its chunks as they are fetched; `run` in a task of its own, which recovers the chain and then feeds
    them; `close` when Kafka takes it away. `consumer` is Faust's. `hint`: the offset that Kafka may be told, None
    where there is nothing new.
    """

    def __init__(self, place: Place, partition: int, consumer: Callable[[], Any]) -> None:
        self._place, self._consumer = place, consumer
        self.tp = TP(place.topic.name, partition)
        self._chunks: asyncio.Queue[_Chunk] = asyncio.Queue(WAITING_CHUNKS)
        self._busy = asyncio.Lock()
        self._writer: PartitionWriter | None = None
        self._closed = self._fed = False
        self._seen: tuple[int, int] | None = None
        self._proven: tuple[int, int] | None = None
        self.hint: int | None = None

    @property
    def full(self) -> bool:
        """Whether `put` has to wait."""
        return self._chunks.full()

    async def put(self, records: Sequence[KafkaRecord]) -> None:
        """Take a chunk; waits while enough of them wait already."""
        if not self._closed:
            await self._chunks.put(_Chunk(records, time.monotonic()))

    async def run(self) -> None:
        """Recover the chain, then feed chunk after chunk, until the task is cancelled."""
        async with self._busy:
            if not self._closed:
                self._writer = await self._place.ask(self._open)
        while True:
            chunk = await self._chunks.get()
            async with self._busy:
                if self._writer is not None:
                    await self._feed(self._writer, chunk)

    async def close(self) -> None:
        """Release the state after the chunk in hand; chunks that wait are forgotten: the next owner reads them."""
        self._closed = True
        async with self._busy:
            writer, self._writer = self._writer, None
            if writer is not None:
                await self._place.run(writer.close)
        while not self._chunks.empty():  # whoever waits to put one more goes on
            self._chunks.get_nowait()

    async def look_after(self, flowing: bool) -> None:
        """Look at a partition from which nothing has come since the last call.

        An offset that was committed is a hint: where Kafka's position stands ahead of ours, the state behind it may be
        gone, and no further record may ever come. So if there are records between, seek back, but only while chunks
        are `flowing`: else they may still be on their way here. Where it is behind, the log may have lost its tail.
        A position that is ours tells nothing: whoever fetches may have died.
        """
        moves, self._fed = self._moves, False
        seen, self._seen = self._seen, None
        if moves:
            return
        async with self._busy:
            if (writer := self._writer) is None:
                return
            expected, position = writer.expected, await self._consumer().position(self.tp) or 0
            if position < expected:
                await self._place.ask(lambda: writer.check_log(*self._place.log.span(self.tp.partition)))
            elif position > expected:
                self._seen = expected, position
        if self._seen is not None and self._seen == seen != self._proven:
            await self._explain(*seen, flowing)

    @property
    def _moves(self) -> bool:
        """Whether a chunk is in hand or waits here, or has been taken since the last call of `look_after`."""
        return self._fed or self._busy.locked() or not self._chunks.empty()

    async def _explain(self, expected: int, position: int, flowing: bool) -> None:
        """Find out why Kafka's position stands ahead: behind markers alone, or behind records that never came."""
        reached = await self._next_available(expected)
        if self._moves or self._writer is None:
            return
        if reached >= position:
            self._proven = expected, position
            self._place.vitals.fed(self.tp.partition, 0, position)
        elif flowing:
            self._seen = None
            await self._consumer().seek(self.tp, expected)

    def _open(self) -> PartitionWriter:
        place, partition = self._place, self.tp.partition
        settings = place.settings
        writer = PartitionWriter(place.layout, place.topic, partition, settings.windows, settings.rotation)
        writer.begin(*place.log.span(partition))
        place.vitals.opened(partition, writer.expected, writer.committed)
        facts = {"topic": place.topic.name, "partition": partition, "from_offset": writer.expected}
        logger.info("partition opened", extra={"facts": facts})
        return writer

    async def _feed(self, writer: PartitionWriter, chunk: _Chunk) -> None:
        self._fed = True
        first, last = chunk.records[0].offset, chunk.records[-1].offset
        if first > writer.expected and await self._next_available(writer.expected) < first:
            await self._consumer().seek(self.tp, writer.expected)
            return
        await self._place.run(lambda: self._fold(writer, chunk))
        if writer.expected <= last:  # the chain was lost to another owner and won back, or the state was damaged
            if isinstance(writer.fell_back, ChainTaken):
                self._place.vitals.lost_race(self.tp.partition)
            else:
                logger.warning(f"the state of partition {self.tp.partition} is rebuilt: {writer.fell_back}")
            await self._consumer().seek(self.tp, writer.expected)

    def _fold(self, writer: PartitionWriter, chunk: _Chunk) -> None:
        vitals, partition, same_topic = self._place.vitals, self.tp.partition, self._place.same_topic

        def committed(closed: ClosedShard, seconds: float) -> None:
            self.hint = closed.body.next_offset
            vitals.committed(partition, closed.body, seconds)

        if writer.feed(chunk.records, committed, self._place.fold, lambda: same_topic.prove(chunk.arrived)):
            self._place.dead_letters.send(writer)
        vitals.fed(partition, len(chunk.records), writer.expected)
        vitals.open_buffer(partition, *writer.collected)

    async def _next_available(self, offset: int) -> int:
        """Ask the log where it has its next record from `offset` on: what comes later and first is behind a gap."""
        return await self._place.ask(lambda: self._place.log.next_available(self.tp.partition, offset))
