"""The agent: chunks of records into the pipelines of the assigned partitions, and own offset commits.

Faust never commits here (`acks=False`) and never restarts an agent over half a state: any error ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, TypeVar

from faust.types import TP

from contracts.errors import FreshetError
from contracts.layout import Layout
from streams.dead_letters import DeadLetterTopic
from streams.pipeline import Record, Topic
from streams.settings import StreamsSettings
from streams.shard_writer import PartitionWriter
from streams.topics import Log

Result = TypeVar("Result")
logger = logging.getLogger("freshet.streams")


class Assignment:
    """The partitions that this worker owns now, each with its writer.

    Writers run in one thread of their own, so that fetching and heartbeats go on while a shard is committed.
    """

    def __init__(self, layout: Layout, settings: StreamsSettings, topic: Topic, log: Log, app: Any) -> None:
        self._layout, self._settings, self._topic, self._log, self._app = layout, settings, topic, log, app
        self._writers: dict[int, PartitionWriter] = {}
        self._dead_letters = DeadLetterTopic(settings.bootstrap, settings.dead_letter_topic)
        self._owned: set[int] = set()
        self._fed: set[int] = set()
        self._sought: dict[int, tuple[int, int]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._turn = asyncio.Lock()

    def own(self, partitions: set[int]) -> None:
        """Note what Kafka has assigned. Returns at once: no heartbeat is sent while Kafka waits for the answer."""
        self._owned = set(partitions)

    async def open_owned(self) -> None:
        """Recover the partitions that are new to this worker, and close those that it no longer owns."""
        for partition in sorted(set(self._writers) - self._owned):
            await self.give_back({partition})
        for partition in sorted(self._owned):
            async with self._turn:
                await self._writer(partition)

    async def give_back(self, partitions: set[int]) -> None:
        """Close the partitions that Kafka has taken away, after the chunk in hand."""
        self._owned -= partitions
        async with self._turn:
            for partition in partitions & set(self._writers):
                await self._run(self._writers.pop(partition).close)

    async def feed(self, tp: TP, records: list[Record]) -> None:
        """Give a chunk to its pipeline; commit what became complete; tell Kafka; seek where it is not the next."""
        async with self._turn:
            writer = await self._writer(tp.partition)
            if writer is None:
                return  # revoked while the chunk waited
            self._fed.add(tp.partition)
            if records[0].offset > writer.expected and not await self._is_gap(tp, writer, records[0].offset):
                await self._app.consumer.seek(tp, writer.expected)
                return
            hints: list[int] = []
            await self._run(lambda: writer.feed(records, hints.append))
            if hints:
                await self._run(lambda: self._dead_letters.send(writer))
                await self._app.consumer._commit({tp: hints[-1]})
            if writer.expected <= records[-1].offset:  # the chain was lost to another owner and won back
                await self._app.consumer.seek(tp, writer.expected)

    async def seek_idle(self) -> None:
        """Look at the partitions from which nothing has come since the last call; call it regularly.

        An offset that was committed is a hint: where Kafka's position is ahead of ours, the state behind it is gone,
        and no further record may ever come, so seek back. Where it is behind, the log may have lost its tail.
        """
        async with self._turn:
            for partition in sorted(set(self._writers) - self._fed):
                writer, tp = self._writers[partition], TP(self._topic.name, partition)
                position = await self._app.consumer.position(tp) or 0
                if position < writer.expected:
                    await self._run(partial(self._check_log, writer, partition))
                elif position > writer.expected and self._sought.get(partition) != (position, writer.expected):
                    self._sought[partition] = (position, writer.expected)  # beyond it there may be markers alone
                    await self._app.consumer.seek(tp, writer.expected)
            self._fed.clear()

    async def _is_gap(self, tp: TP, writer: PartitionWriter, offset: int) -> bool:
        """Tell whether the log itself has no record between the expected one and `offset`."""
        available = await self._run(lambda: self._log.next_available(tp.partition, writer.expected))
        return available >= offset

    def _open(self, partition: int) -> PartitionWriter:
        writer = PartitionWriter(self._layout, self._topic, partition, self._settings.windows, self._settings.rotation)
        writer.begin(*self._log.span(partition))
        logger.warning("partition %d of %s: from record %d on", partition, self._topic.name, writer.expected)
        return writer

    def _check_log(self, writer: PartitionWriter, partition: int) -> None:
        writer.check_log(*self._log.span(partition))

    async def _writer(self, partition: int) -> PartitionWriter | None:
        """Return the open writer of a partition that is owned, opening it where it is not; None if it is not owned."""
        if partition in self._owned and partition not in self._writers:
            self._writers[partition] = await self._run(partial(self._open, partition))
        return self._writers.get(partition) if partition in self._owned else None

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def consume(assignment: Assignment) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return the agent function."""

    async def shards(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            records = [Record(record.offset, record.value) for record in message.value]
            await or_die(assignment.feed(message.tp, records))

    return shards


async def or_die(work: Awaitable[None]) -> None:
    """Await `work`; end the process at any error: the supervisor starts it again over a whole state."""
    try:
        await work
    except FreshetError as error:
        die(str(error), error.hint, error.exit_code)
    except Exception:
        die(traceback.format_exc(), "The process ends here and recovers from the chain when it is started again.", 1)


def die(message: str, hint: str, code: int) -> NoReturn:
    """Print and end at once, running no handler that could write."""
    print(f"freshet: {message}\n  {hint}", file=sys.stderr, flush=True)
    os._exit(code)
