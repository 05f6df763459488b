"""A topic, and a record of one of its partitions, as all of streams knows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class KafkaRecord(Protocol):
    """A Kafka record as the pipeline needs it."""

    @property
    def offset(self) -> int:
        """Its position in the partition."""

    @property
    def value(self) -> bytes | None:
        """Its value."""


class Record(NamedTuple):
    """A record that does not come from a Kafka client."""

    offset: int
    value: bytes | None


@dataclass(frozen=True)
class Topic:
    """The identity of a log: `topic_id` is the broker's UUID, or the name of a replayed source."""

    name: str
    topic_id: str
    partitions: int
