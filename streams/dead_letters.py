"""The dead-letter topic: derived from the side files of committed shards, which are the truth.

At-least-once: how far it has been sent is in the partition's state DB, so letters may be sent again after a crash or
when the DB is lost. A receiver drops doubles by the key, `topic/partition/offset`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from contracts.errors import MissingServer
from contracts.shards import read_dead_letters

if TYPE_CHECKING:
    from streams.shard_writer import PartitionWriter

_SENT = b"dead_letters_sent"


class DeadLetterTopic:
    """Sends to `topic`; does nothing where the name is empty."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic

    def send(self, writer: PartitionWriter) -> int:
        """Send the dead letters of all shards that have not been sent; return how many. Raises `MissingServer`."""
        if not self._topic:
            return 0
        chain, state = writer.chain, writer.state
        sent, count = int(state.get(_SENT) or b"0"), 0
        reached = sent
        for entry in chain.entries(after=sent):
            reached = entry.number
            for letter in read_dead_letters(chain, entry):
                key = f"{letter.topic}/{letter.partition}/{letter.offset}"
                self._producer.send(self._topic, key=key.encode(), value=msgspec.json.encode(letter))
                count += 1
        if count:
            try:
                self._producer.flush(timeout=30)
            except KafkaError as error:
                raise MissingServer(f"the dead letters could not be sent to topic {self._topic}: {error}") from None
        if reached > sent:
            state.write({_SENT: str(reached).encode()})
        return count

    @cached_property
    def _producer(self) -> KafkaProducer:
        return KafkaProducer(bootstrap_servers=self._bootstrap.split(","), acks="all", bootstrap_timeout_ms=10_000)
