"""A log into a topic, with explicit partitions, by kafka-python.

Guarantee: at-least-once into the topic, in order per partition (acks=all, idempotent producer). Effectively-once under
one condition: nobody else writes to the topic. Then the next offset of a partition says how many of the log's records
it has, and `missing_from` goes on exactly there, after a kill as after a full run (nothing is left to send).

Records get the broker's usual timestamps, not the log's: by those a broker would delete an old log at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    BrokerResponseError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from contracts.errors import MissingServer, OperatorError, UsageError
from contracts.events import MAX_VALUE_BYTES
from streams.access import Access
from streams.log import LogRecord
from streams.records import Topic
from streams.refusals import lacks_right, no_broker, no_right
from streams.topics import TIMEOUT_MS, Log

PARTITIONS = 8
COMPRESSIONS = ("lz4", "gzip", "snappy", "zstd", "none")

_RECORD_BYTES = 2 * MAX_VALUE_BYTES  # whatever the decoder accepts fits, with its key
_BATCH_BYTES, _LINGER_MS = 1 << 18, 20
_PATIENCE_S = 5


def ensure_topic(access: Access, name: str, partitions: int | None = None) -> Topic:
    """Return the topic, created if it is absent (8 partitions if `partitions` is None).

    Raises `MissingServer`, `AccessRefused`, and `UsageError` where it exists with another number of partitions or
    cannot exist.
    """
    try:
        admin = KafkaAdminClient(**access.client())
    except (KafkaError, ValueError) as error:
        raise no_broker(access, error) from None
    settings = {"max.message.bytes": str(_RECORD_BYTES)}
    try:
        admin.create_topics(
            {name: {"num_partitions": partitions or PARTITIONS, "configs": settings}}, wait_for_metadata=True
        )
    except (TopicAlreadyExistsError, TopicAuthorizationFailedError):
        pass  # who may not create it may still use it where it exists
    except BrokerResponseError as error:
        raise UsageError(f"topic {name!r} cannot be created on {access.bootstrap}: {error.description}") from None
    except KafkaError as error:
        raise no_broker(access, error) from None
    finally:
        admin.close()
    topic = Log(access, name).identity()
    if partitions is not None and topic.partitions != partitions:
        raise UsageError(
            f"topic {name!r} has {topic.partitions} partitions, not {partitions}",
            hint=f"Say --partitions {topic.partitions}, or name another topic: users would change their partitions.",
        )
    return topic


@dataclass(frozen=True)
class Held:
    """What a topic holds already: the next offset of each partition, and the value of its last record."""

    topic: Topic
    next_offsets: dict[int, int]
    last_values: dict[int, bytes]


def held(access: Access, topic: Topic) -> Held:
    """Ask the broker what `topic` holds. Raises `MissingServer`, `AccessRefused`."""
    try:
        consumer = KafkaConsumer(
            **access.client(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
    except (KafkaError, ValueError) as error:
        raise no_broker(access, error) from None
    try:
        ends = consumer.end_offsets([TopicPartition(topic.name, number) for number in range(topic.partitions)])
        values = {assigned.partition: _value_before(consumer, assigned, end) for assigned, end in ends.items() if end}
    except KafkaError as error:
        raise no_broker(access, error, f"read topic {topic.name!r}") from None
    finally:
        consumer.close()
    return Held(topic, {assigned.partition: int(end) for assigned, end in ends.items()}, values)


def missing_from(held: Held, records: Iterable[LogRecord]) -> Iterator[LogRecord]:
    """Yield the records of a log that the topic does not have yet.

    Raises `UsageError` where the topic holds something else than the beginning of this log.
    """
    ends = held.next_offsets
    seen = dict.fromkeys(ends, 0)
    for record in records:
        partition, number = record.partition, seen[record.partition]
        seen[partition] = number + 1
        if number >= ends[partition]:
            yield record
        elif number == ends[partition] - 1 and held.last_values[partition] != record.value:
            raise _other_records(held.topic, partition)
    for partition, end in ends.items():
        if end > seen[partition]:
            raise _other_records(held.topic, partition)


class Producer:
    """Sends the records of a log to one topic. Use it as a context manager: what was sent is flushed on a good exit."""

    def __init__(self, access: Access, topic: str, compression: str = "lz4") -> None:
        """Raises `MissingServer` where no broker answers, `AccessRefused` where none lets us in."""
        self._access, self._topic = access, topic
        self._failure: Exception | None = None
        try:
            self._producer = KafkaProducer(
                **access.client(),
                acks="all",
                compression_type=None if compression == "none" else compression,
                batch_size=_BATCH_BYTES,
                linger_ms=_LINGER_MS,
                max_request_size=_RECORD_BYTES,
                delivery_timeout_ms=60_000,
                allow_auto_create_topics=False,
            )
        except (KafkaError, ValueError) as error:
            raise no_broker(access, error) from None
        self._next: dict[int, int] = {}

    def send(self, records: Iterable[LogRecord]) -> int:
        """Hand records over, in order; return how many. They are in the topic once `flush` has returned.

        Raises `MissingServer` or `AccessRefused` as soon as the broker has refused one.
        """
        count = 0
        for record in records:
            try:
                sent = self._producer.send(self._topic, record.value, record.key, partition=record.partition)
            except (KafkaError, ValueError) as error:
                raise self._refused(error) from None
            sent.add_callback(self._delivered)
            sent.add_errback(self._failed)
            if self._failure is not None:
                raise self._refused(self._failure)
            count += 1
        return count

    def flush(self) -> dict[int, int]:
        """Wait until all brokers have all records; return the next offset of every partition written to so far."""
        try:
            self._producer.flush()
        except KafkaError as error:
            raise self._refused(error) from None
        if self._failure is not None:
            raise self._refused(self._failure)
        return dict(sorted(self._next.items()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the broker; what was not flushed may be lost."""
        self._producer.close(timeout=_PATIENCE_S)

    def _delivered(self, record: Any) -> None:
        self._next[record.partition] = max(record.offset + 1, self._next.get(record.partition, 0))

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _refused(self, error: Exception) -> OperatorError:
        if lacks_right(error):
            return no_right(self._access, f"write to topic {self._topic!r}")
        return MissingServer(
            f"topic {self._topic} on {self._access.bootstrap} took a record no more: {error}",
            hint="See to the broker, then run the same command again: it goes on where it stopped.",
        )


def _value_before(consumer: KafkaConsumer, assigned: TopicPartition, end: int) -> bytes:
    """Return the value of the last record before `end`; empty if it is gone, or was a record without a value."""
    consumer.assign([assigned])
    consumer.seek(assigned, end - 1)
    fetched = consumer.poll(timeout_ms=TIMEOUT_MS, max_records=1).get(assigned, [])
    return (fetched[0].value or b"") if fetched else b""


def _other_records(topic: Topic, partition: int) -> UsageError:
    return UsageError(
        f"partition {partition} of topic {topic.name} holds other records than the beginning of this log",
        hint="Name another topic with --topic, or say --append to write the whole log after them.",
    )
