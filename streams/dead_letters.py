"""The dead-letter topic: derived from the side files of committed shards, which are the truth.

At-least-once: how far it has been sent is in the partition's state DB, so letters may be sent again after a crash or
when the DB is lost. A receiver drops doubles by the key, `topic/partition/offset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from contracts.errors import MissingServer
from contracts.shards import DeadLetter, read_dead_letters
from streams.access import Access
from streams.refusals import lacks_right, no_right

if TYPE_CHECKING:
    from streams.shard_writer import PartitionWriter

_SENT = b"dead_letters_sent"
PATIENCE_S = 30.0


class DeadLetterTopic:
    """Sends to `topic`; does nothing where the name is empty."""

    def __init__(self, access: Access, topic: str) -> None:
        self._access, self._topic = access, topic

    def send(self, writer: PartitionWriter) -> int:
        """Send the dead letters of all shards that have not been sent; return how many.

        Raises `MissingServer`, `AccessRefused`.
        """
        if not self._topic:
            return 0
        chain, state = writer.chain, writer.state
        sent = reached = int(state.get(_SENT) or b"0")
        letters = []
        for entry in chain.entries(after=sent):
            reached = entry.number
            letters += read_dead_letters(chain, entry)
        if letters:
            self._deliver(letters)
        if reached > sent:
            state.write({_SENT: str(reached).encode()})
        return len(letters)

    def _deliver(self, letters: Sequence[DeadLetter]) -> None:
        """Send, and return only when the broker has acknowledged each."""
        try:
            keyed = [(f"{at.topic}/{at.partition}/{at.offset}".encode(), msgspec.json.encode(at)) for at in letters]
            sent = [self._producer.send(self._topic, key=key, value=value) for key, value in keyed]
            for future in sent:
                future.get(timeout=PATIENCE_S)
        except KafkaError as error:
            if lacks_right(error):
                raise no_right(self._access, f"write to topic {self._topic!r}") from None
            raise MissingServer(
                f"dead letters could not be sent to topic {self._topic}: {error}",
                hint="Create the topic, or see to the broker: the worker goes on from the first letter not sent.",
            ) from None

    @cached_property
    def _producer(self) -> KafkaProducer:
        return KafkaProducer(**self._access.client(), acks="all")
