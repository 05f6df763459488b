"""Several partitions, one order: records go on by the time they came in, and no partition runs far ahead of another."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from kafka import TopicPartition

from contracts.events import Event
from streams.log import RawRecord

AHEAD_MS = 60_000


class Timed(NamedTuple):
    """An event on its way; `time` (ms) is the highest ingest time of its source partition up to it."""

    time: int
    event: Event | RawRecord


class Pace:
    """How far each source partition has come, by ingest time."""

    def __init__(self) -> None:
        self._reached: dict[TopicPartition, int] = {}

    def ordered(self, taken: Mapping[TopicPartition, Sequence[Event | RawRecord]]) -> list[Timed]:
        """Return the events of a batch by time; those of one partition keep their order."""
        timed: list[Timed] = []
        now = time.time_ns() // 1_000_000
        for partition, events in taken.items():
            reached = self._reached.get(partition, 0)
            for event in events:
                if not isinstance(event, RawRecord):
                    reached = max(reached, min(event.ingest_time, now))  # a clock that is ahead holds nobody up
                timed.append(Timed(reached, event))
            self._reached[partition] = reached
        timed.sort(key=lambda one: one.time)
        return timed

    def keep(self, partitions: Set[TopicPartition]) -> None:
        """Forget the partitions that are not read any more."""
        self._reached = {at: reached for at, reached in self._reached.items() if at in partitions}

    def ahead(self, behind: Set[TopicPartition]) -> set[TopicPartition]:
        """Return who has to wait; `behind`: the partitions that hold records not yet read."""
        times = [self._reached[at] for at in behind if self._reached.get(at)]
        if not times:
            return set()
        limit = min(times) + AHEAD_MS
        return {at for at, reached in self._reached.items() if reached > limit}
