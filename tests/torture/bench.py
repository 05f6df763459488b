"""The broker's side of a round: topics of its own, what is produced into them, what they really hold."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from infra.kafka.choose import Broker
from streams.records import Record, Topic
from tests.support.servers import make_topic
from tests.support.workers import wait_for
from tests.torture.logs import Planned
from tests.torture.verdict import Content

POLL_MS = 1_000


class Bench:
    """The clients of one round: a producer and an administrator; `close` leaves the broker running."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    @cached_property
    def producer(self) -> Any:
        """The producer; what it has flushed is acknowledged."""
        return KafkaProducer(bootstrap_servers=self.broker.bootstrap, acks="all", linger_ms=5)

    @cached_property
    def admin(self) -> Any:
        """The administrator."""
        return KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)

    def close(self) -> None:
        """Close the clients."""
        self.producer.close()
        self.admin.close()

    def make_topic(self, name: str, partitions: int) -> None:
        """Create a topic and wait for its leaders."""
        make_topic(self.broker, name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic, and wait until the broker says so."""
        self.admin.delete_topics([name])
        wait_for(lambda: not any(topic["partitions"] for topic in self.admin.describe_topics([name])), what="deletion")

    def send(self, topic: str, records: Iterable[Planned]) -> None:
        """Produce records, each into its partition; returns when they are acknowledged."""
        sent = [self.producer.send(topic, key=r.key, value=r.value, partition=r.partition) for r in records]
        self.producer.flush()
        for future in sent:
            future.get(timeout=0)

    def transaction(self, topic: str, records: Iterable[Planned], commit: bool) -> None:
        """Produce records in a transaction of their own, and commit or abort it."""
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap, transactional_id=topic, acks="all")
        try:
            producer.init_transactions()
            producer.begin_transaction()
            for record in records:
                producer.send(topic, key=record.key, value=record.value, partition=record.partition)
            producer.flush()
            if commit:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
        finally:
            producer.close()

    def ends(self, topic: str, partitions: int) -> list[int]:
        """Return the next offset of each partition's log."""
        consumer, assigned = self._consumer(topic, partitions)
        try:
            found = consumer.end_offsets(assigned)
            return [found[partition] for partition in assigned]
        finally:
            consumer.close()

    def delete_records(self, topic: str, before: dict[int, int]) -> None:
        """Have the log of each partition begin at an offset, as retention does."""
        self.admin.delete_records({TopicPartition(topic, partition): offset for partition, offset in before.items()})

    def content(self, topic: str, partitions: int) -> Content:
        """Read a topic back: its committed records."""
        consumer, assigned = self._consumer(topic, partitions)
        records: dict[int, list[Record]] = {partition: [] for partition in range(partitions)}
        try:
            ends = consumer.end_offsets(assigned)
            consumer.seek_to_beginning(*assigned)
            while any(consumer.position(partition) < ends[partition] for partition in assigned):
                for partition, found in consumer.poll(timeout_ms=POLL_MS).items():
                    records[partition.partition] += [Record(record.offset, record.value) for record in found]
        finally:
            consumer.close()
        return Content(Topic(topic, "as read back", partitions), records, {p.partition: ends[p] for p in assigned})

    def _consumer(self, topic: str, partitions: int) -> tuple[Any, list[Any]]:
        consumer = KafkaConsumer(
            bootstrap_servers=self.broker.bootstrap, enable_auto_commit=False, isolation_level="read_committed"
        )
        assigned = [TopicPartition(topic, partition) for partition in range(partitions)]
        consumer.assign(assigned)
        return consumer, assigned
