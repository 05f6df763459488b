"""The agent: chunks of records to the assigned partitions, and own offset commits.

Faust never commits here (`acks=False`) and never restarts an agent over half a state: any error ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn

from faust.types import TP

from contracts.errors import FreshetError
from streams.owned import OwnedPartition, Place
from streams.pipeline import KafkaRecord

logger = logging.getLogger("freshet.streams")


class Assignment:
    """The partitions that this worker owns now. `consumer` returns Faust's, which exists once the app runs."""

    def __init__(self, place: Place, consumer: Callable[[], Any]) -> None:
        self._place, self._consumer = place, consumer
        self._owned: dict[int, OwnedPartition] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def own(self, partitions: set[int]) -> None:
        """Follow what Kafka has assigned. Recovery goes on by itself: heartbeats must not wait for it."""
        await self.give_back(set(self._owned) - partitions)
        for partition in sorted(partitions - set(self._owned)):
            owned = self._owned[partition] = OwnedPartition(self._place, partition, self._consumer)
            self._tasks[partition] = asyncio.create_task(or_die(owned.run()))
        self._place.vitals.assigned(partitions)

    async def give_back(self, partitions: set[int]) -> None:
        """Close partitions that Kafka has taken away, after the chunk that each has in hand."""
        leaving = [self._owned.pop(partition) for partition in partitions & set(self._owned)]
        await asyncio.gather(*(owned.close() for owned in leaving))
        for partition in partitions & set(self._tasks):
            self._tasks.pop(partition).cancel()
        self._place.vitals.assigned(self._owned)

    async def take(self, tp: TP, records: Sequence[KafkaRecord]) -> None:
        """Hand a chunk to its partition; drop it where the partition was revoked while the chunk waited."""
        if tp.partition in self._owned:
            await self._owned[tp.partition].put(records)

    async def look_after_idle(self) -> None:
        """See to the partitions from which nothing comes; call it every few seconds."""
        for owned in list(self._owned.values()):
            await owned.look_after()

    async def tell_kafka(self) -> None:
        """Commit to Kafka how far the chains have come since the last call: hints, and nothing depends on them."""
        hints = {}
        for partition, owned in self._owned.items():
            if owned.hint is not None:
                hints[TP(self._place.topic.name, partition)] = owned.hint
                owned.hint = None
        if hints:
            await self._consumer()._commit(hints)

    async def stop(self) -> None:
        """Give everything back; what is in open shards is read again by the next owner."""
        self._place.vitals.stopping()
        await self.tell_kafka()
        await self.give_back(set(self._owned))


def consume(assignment: Assignment) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return the agent function."""

    async def shards(stream: Any) -> None:
        async for event in stream.events():
            await or_die(assignment.take(event.message.tp, event.message.value))

    return shards


async def or_die(work: Awaitable[None]) -> None:
    """Await `work`; end the process at any error: the supervisor starts it again over a whole state."""
    try:
        await work
    except FreshetError as error:
        die(str(error), error.hint, error.exit_code)
    except Exception:
        die(traceback.format_exc(), "The process ends here and recovers from the chain when it is started again.", 1)


def die(message: str, hint: str, code: int = 1) -> NoReturn:
    """Log and end at once, running no handler that could write."""
    logger.error(message, extra={"hint": hint})
    sys.stderr.flush()
    os._exit(code)
