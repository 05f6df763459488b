"""The dead-letter topic: derived from the side files of committed shards, which are the truth.

At-least-once: how far it has been sent is in the partition's state DB, so letters may be sent again after a crash or
when the DB is lost. A receiver drops doubles by the key, `topic/partition/offset`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from contracts.errors import AccessRefused, MissingServer, OperatorError
from contracts.shards import DeadLetter, read_dead_letters
from streams.access import Access
from streams.refusals import lacks_right, no_broker, no_right

if TYPE_CHECKING:
    from streams.shard_writer import PartitionWriter

_SENT = b"dead_letters_sent"
PATIENCE_S = 30.0
LETTER_BYTES = 16_384  # more than any letter has: of value and detail it holds the first 512 each


class DeadLetterTopic:
    """Sends to `topic`, by one producer however many threads call; does nothing where the name is empty."""

    def __init__(self, access: Access, topic: str) -> None:
        self._access, self._topic = access, topic
        self._making = threading.Lock()
        self._made: KafkaProducer | None = None

    def send(self, writer: PartitionWriter) -> int:
        """Send the dead letters of all shards that have not been sent, shard by shard; return how many.

        Raises `MissingServer`; `AccessRefused` where the topic would refuse the same letter for ever.
        """
        if not self._topic:
            return 0
        chain, state = writer.chain, writer.state
        sent = 0
        for entry in chain.entries(after=int(state.get(_SENT) or b"0")):
            letters = read_dead_letters(chain, entry)
            if letters:
                self._deliver(letters)
            state.write({_SENT: str(entry.number).encode()})
            sent += len(letters)
        return sent

    def _deliver(self, letters: Sequence[DeadLetter]) -> None:
        """Send, and return only when the broker has acknowledged each."""
        producer = self._producer()
        try:
            keyed = [(f"{at.topic}/{at.partition}/{at.offset}".encode(), msgspec.json.encode(at)) for at in letters]
            sent = [producer.send(self._topic, key=key, value=value) for key, value in keyed]
            for future in sent:
                future.get(timeout=PATIENCE_S)
        except KafkaError as error:
            raise self._refused(error) from None

    def _producer(self) -> KafkaProducer:
        with self._making:
            if self._made is None:
                try:
                    self._made = KafkaProducer(**self._access.client(), acks="all")
                except (KafkaError, ValueError) as error:
                    raise no_broker(self._access, error) from None
            return self._made

    def _refused(self, error: KafkaError) -> OperatorError:
        if lacks_right(error):
            return no_right(self._access, f"write to topic {self._topic!r}")
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return AccessRefused(
                f"topic {self._topic} takes no dead letter of this size: {error}",
                hint=f"Set max.message.bytes of the topic to {LETTER_BYTES} or more, or dead_letter_topic to another.",
            )
        return MissingServer(
            f"dead letters could not be sent to topic {self._topic}: {error}",
            hint="See to the broker: the worker goes on from the first letter not sent.",
        )
