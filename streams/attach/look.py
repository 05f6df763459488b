"""A look at a topic: its newest or oldest records, read without a group and without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contracts.errors import MissingInput
from streams.access import Access
from streams.attach.mapping import Origin
from streams.refusals import no_broker
from streams.topics import TIMEOUT_MS, Log

FROM = ("newest", "oldest")


class Seen(NamedTuple):
    """A record as it stands in the topic."""

    origin: Origin
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Look:
    """Where to look, from which end, and at how many records of a topic; `events` is the topic that they will feed."""

    access: Access
    events: str
    start: str
    records: int

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has. Raises `MissingServer`, `MissingInput`."""
        return Log(self.access, topic).identity().partitions

    def partitions_of_events(self) -> int:
        """Return how many partitions the topic of the events has, 0 where it does not exist yet."""
        try:
            return self.partitions(self.events)
        except MissingInput:
            return 0

    def read(self, topic: str, partitions: int) -> list[Seen]:
        """Return about `records` records in order of partition and offset. Raises `MissingServer`."""
        try:
            consumer = KafkaConsumer(
                **self.access.client(),
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
            )
        except (KafkaError, ValueError) as error:
            raise no_broker(self.access, error) from None
        each = -(-self.records // partitions)
        try:
            return [
                seen
                for number in range(partitions)
                for seen in self._of_partition(consumer, TopicPartition(topic, number), each)
            ]
        except KafkaError as error:
            raise no_broker(self.access, error) from None
        finally:
            consumer.close()

    def _of_partition(self, consumer: KafkaConsumer, at: TopicPartition, count: int) -> Iterator[Seen]:
        first, end = consumer.beginning_offsets([at])[at], consumer.end_offsets([at])[at]
        start = max(first, end - count) if self.start == "newest" else first
        consumer.assign([at])
        consumer.seek(at, start)
        left = min(count, end - start)
        while left > 0 and consumer.position(at) < end:
            fetched = consumer.poll(timeout_ms=TIMEOUT_MS, max_records=left).get(at, [])
            if not fetched:
                return  # markers alone, or a broker that is too slow to wait for
            left -= len(fetched)
            for record in fetched:
                origin = Origin(at.topic, at.partition, record.offset, record.timestamp)
                yield Seen(origin, record.key, record.value)
