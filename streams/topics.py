"""What the broker says about a topic: its identity, where its log starts, which record comes next. By kafka-python."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from contracts.errors import LogLost, MissingInput, MissingServer
from streams.pipeline import Topic

TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Log:
    """A topic on a broker; each question opens a connection of its own and closes it."""

    bootstrap: str
    topic: str

    def identity(self) -> Topic:
        """Return id and partition count. Raises `MissingServer`, `MissingInput`."""
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","), bootstrap_timeout_ms=TIMEOUT_MS)
        except (KafkaError, ValueError) as error:
            raise no_broker(self.bootstrap, error) from None
        try:
            found = admin.describe_topics([self.topic])
        except KafkaError:
            found = []
        finally:
            admin.close()
        topic = next((t for t in found if not t.get("error_code") and t.get("partitions")), None)
        if topic is None:
            raise MissingInput(
                f"topic {self.topic!r} does not exist on {self.bootstrap}",
                hint="Create it, or fill it from a log with `freshet produce --data FILE`.",
            )
        return Topic(self.topic, str(uuid.UUID(str(topic["topic_id"]))), len(topic["partitions"]))

    def span(self, partition: int) -> tuple[int, int]:
        """Return the first offset that the log of a partition still holds, and its next one, committed or not."""
        consumer, assigned = self._consumer(partition, "read_uncommitted")
        try:
            start, end = consumer.beginning_offsets([assigned]), consumer.end_offsets([assigned])
            return int(start[assigned]), int(end[assigned])
        finally:
            consumer.close()

    def next_available(self, partition: int, offset: int) -> int:
        """Return the offset of the first committed record at `offset` or later; it must exist already.

        This is what proves a gap: a compacted or transactional log has holes, anything else that leaps was not
        fetched. Raises `LogLost` when the log starts after `offset`.
        """
        consumer, assigned = self._consumer(partition)
        try:
            start = int(consumer.beginning_offsets([assigned])[assigned])
            if start > offset:
                raise LogLost(
                    f"records {offset} to {start - 1} of partition {partition} of {self.topic} are gone",
                    hint="Retention deleted them before they were read: raise the topic's retention.",
                )
            consumer.seek(assigned, offset)
            records = consumer.poll(timeout_ms=TIMEOUT_MS, max_records=1)
            return int(records[assigned][0].offset) if records else offset
        finally:
            consumer.close()

    def _consumer(self, partition: int, isolation: str = "read_committed") -> tuple[KafkaConsumer, TopicPartition]:
        try:
            consumer = KafkaConsumer(
                bootstrap_servers=self.bootstrap.split(","),
                bootstrap_timeout_ms=TIMEOUT_MS,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level=isolation,
            )
        except (KafkaError, ValueError) as error:
            raise no_broker(self.bootstrap, error) from None
        assigned = TopicPartition(self.topic, partition)
        consumer.assign([assigned])
        return consumer, assigned


def no_broker(bootstrap: str, error: Exception) -> MissingServer:
    """Return the error that tells a person which broker did not answer and what to check."""
    reason = "nothing answers there" if isinstance(error, KafkaTimeoutError) else str(error)
    return MissingServer(
        f"no Kafka broker at {bootstrap}: {reason}",
        hint="Check the address (--bootstrap, FRESHET_STREAMS_BOOTSTRAP), or start one: `python -m infra.kafka up`.",
    )
