"""The two Kafka clients of an attachment: a member of the group, and a producer that writes by transactions."""

from __future__ import annotations

from dataclasses import dataclass

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import AuthorizationError, KafkaError

from contracts.errors import MissingServer
from contracts.events import MAX_VALUE_BYTES
from streams.access import Access
from streams.records import Topic
from streams.refusals import no_broker, no_right

_TRANSACTION_MS = 60_000


@dataclass(frozen=True)
class Target:
    """Where events go, and as whom: `name` is this process's own, the same after a restart.

    `records`: at most so many are moved by one transaction.
    """

    events: Topic
    items: Topic | None
    group: str
    name: str
    tick_seconds: int
    records: int


def member(access: Access, target: Target) -> KafkaConsumer:
    """Return a consumer of the target's group; where the group has no offset, it says so. Raises `MissingServer`."""
    try:
        return KafkaConsumer(
            **access.client(),
            group_id=target.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_records=target.records,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
        )
    except (KafkaError, ValueError) as error:
        raise no_broker(access, error) from None


def transactional_producer(access: Access, target: Target) -> KafkaProducer:
    """Return a producer that has ended what an earlier one of this name left open.

    Raises `MissingServer`, and `AccessRefused` where the user may not write under this transactional id.
    """
    try:
        producer = KafkaProducer(
            **access.client(),
            transactional_id=f"{target.group}-{target.name}",
            transaction_timeout_ms=_TRANSACTION_MS,
            acks="all",
            compression_type="lz4",
            batch_size=1 << 18,
            linger_ms=5,
            max_request_size=2 * MAX_VALUE_BYTES,
            allow_auto_create_topics=False,
        )
    except (KafkaError, ValueError) as error:
        raise no_broker(access, error) from None
    try:
        producer.init_transactions()
    except AuthorizationError:
        producer.close(timeout=0)
        raise no_right(access, f"write by transactions as {target.group}-{target.name}") from None
    except KafkaError as error:
        producer.close(timeout=0)
        raise MissingServer(
            f"no transaction can be begun on {access}: {type(error).__name__} {error}",
            hint="The broker has to be Kafka 2.5 or later, and this user needs the right to write transactions.",
        ) from None
    return producer
