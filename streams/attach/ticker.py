"""The clock of `events` while other topics feed it: ticks that never run ahead of records on the way."""

from __future__ import annotations

import time
from typing import Protocol

from kafka import TopicPartition


class Positions(Protocol):
    """What is asked of a consumer."""

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the next offset of each."""

    def assignment(self) -> set[TopicPartition]:
        """Return what this process reads."""

    def position(self, partition: TopicPartition) -> int | None:
        """Return the next offset that it will read."""

    def committed(self, partition: TopicPartition) -> int | None:
        """Return up to where the group has come."""


class Ticker:
    """Says which ingest time a tick may carry.

    It looks where all source partitions end, and when. Once the whole group has gone beyond all those ends, nothing
    that came in before that look is still on its way, however far behind a partition was: that look's time is told.
    Of several processes only the one that reads the first source partition ticks.
    """

    def __init__(self, seconds: int, partitions: list[TopicPartition]) -> None:
        self._every, self._partitions = float(seconds), partitions
        self._due = 0.0
        self._ends: dict[TopicPartition, int] = {}
        self._looked_ms = self._latest_ms = 0

    def due(self) -> bool:
        """Tell whether `seconds` have passed since the last call that said so."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + self._every
        return True

    def sent(self, ingest_ms: int) -> None:
        """Note an ingest time that is sent: no tick goes behind it, unless it is ahead of this machine's clock."""
        if self._latest_ms < ingest_ms <= _now_ms():
            self._latest_ms = ingest_ms

    def next_tick(self, consumer: Positions) -> int | None:
        """Return the time (ms) to tell, or None where this process has none to tell now."""
        own = consumer.assignment()
        if self._partitions[0] not in own:
            self._ends = {}
            return None
        if not all(_reached(consumer, at, at in own) >= end for at, end in self._ends.items()):
            return None
        told = max(self._looked_ms, self._latest_ms) if self._ends else None
        self._looked_ms, self._ends = _now_ms(), dict(consumer.end_offsets(self._partitions))
        return told


def _reached(consumer: Positions, partition: TopicPartition, own: bool) -> int:
    return int((consumer.position(partition) if own else consumer.committed(partition)) or 0)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
