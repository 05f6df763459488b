"""The agent: chunks of records to the assigned partitions, and own offset commits.

Faust never commits here (`acks=False`) and never restarts an agent over half a state: any error ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn

from aiokafka.errors import CommitFailedError, KafkaError
from faust.types import TP

from contracts.errors import FreshetError, MissingServer
from streams.owned import OwnedPartition, Place
from streams.records import KafkaRecord

GIVE_BACK_S = 12.0  # 20 seconds are promised from the signal to the end, and Faust stops fetching before this
logger = logging.getLogger("freshet.streams")


class Assignment:
    """The partitions that this worker owns now. `consumer` returns Faust's, which exists once the app runs."""

    def __init__(self, place: Place, consumer: Callable[[], Any]) -> None:
        self._place, self._consumer = place, consumer
        self._owned: dict[int, OwnedPartition] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._waits = self._has_waited = self._hints_fail = False

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
            owned = self._owned[tp.partition]
            self._waits = owned.full
            self._has_waited |= self._waits
            await owned.put(records)
            self._waits = False

    async def look_after_idle(self) -> None:
        """See to the topic, and to the partitions from which nothing comes; call it every few seconds.

        While a chunk waits for a partition that is busy, those of others wait behind it: then nothing is flowing.
        """
        now = time.monotonic()
        await self._place.ask(lambda: self._place.same_topic.prove(now))
        flowing, self._has_waited = not self._has_waited, self._waits
        await asyncio.gather(*(owned.look_after(flowing) for owned in self._owned.values()))

    async def tell_kafka(self) -> None:
        """Commit to Kafka how far the chains have come: hints, and nothing depends on them. One that fails is kept."""
        told = [(owned, owned.hint) for owned in self._owned.values() if owned.hint is not None]
        if not told:
            return
        try:
            await self._consumer()._commit({owned.tp: hint for owned, hint in told})
        except CommitFailedError:
            return  # the group deals its partitions anew
        except (KafkaError, TimeoutError) as error:
            if not self._hints_fail:
                logger.warning(f"Kafka was not told how far the chains have come: {error!r}")
            self._hints_fail = True
            return
        self._hints_fail = False
        for owned, hint in told:
            if owned.hint == hint:
                owned.hint = None

    async def stop(self) -> None:
        """Give everything back; what is in open shards is read again by the next owner.

        A process that has not ended `GIVE_BACK_S` later ends itself: a broker that is away must not hold it up.
        """
        deadline = threading.Timer(GIVE_BACK_S, end_now)
        deadline.daemon = True
        deadline.start()
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
    except MissingServer as error:
        die(str(error), error.hint, 1)  # nobody has to change anything: the supervisor tries again
    except FreshetError as error:
        die(str(error), error.hint, error.exit_code)
    except Exception:
        die(traceback.format_exc(), "The process ends here and recovers from the chain when it is started again.", 1)


def die(message: str, hint: str, code: int = 1) -> NoReturn:
    """Log and end at once, running no handler that could write."""
    logger.error(message, extra={"hint": hint})
    sys.stderr.flush()
    os._exit(code)


def end_now() -> None:
    """End a worker that was told to and takes too long: as safe as SIGKILL, and as it was asked to, with code 0."""
    logger.warning(f"the worker did not come to its end in {GIVE_BACK_S:.0f} s, and ends here: nothing is lost")
    sys.stderr.flush()
    os._exit(0)
