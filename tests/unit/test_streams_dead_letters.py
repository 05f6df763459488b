"""The dead-letter topic, by a producer with faults: what is sent again, and what a person has to change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from contracts.errors import AccessRefused, MissingServer, OperatorError
from contracts.events import Tick, encode
from contracts.layout import Layout
from streams import dead_letters
from streams.access import Access
from streams.dead_letters import DeadLetterTopic
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import Record
from streams.shard_writer import PartitionWriter
from tests.support.logs import ONE_PARTITION, START

SHARDS, EACH = 5, 4


class Broken:
    """A producer that keeps what it is given, and fails at one letter of all that are sent by all of its kind."""

    made = 0
    sent: list[bytes]
    fails_at = -1
    failure: KafkaError

    def __init__(self, **_: object) -> None:
        Broken.made += 1

    def send(self, topic: str, key: bytes, value: bytes) -> Broken:
        if len(Broken.sent) == Broken.fails_at:
            raise Broken.failure
        Broken.sent.append(key)
        return self

    def get(self, timeout: float) -> None:
        """Return at once: it is acknowledged."""


@pytest.fixture(autouse=True)
def producer(monkeypatch: pytest.MonkeyPatch) -> None:
    Broken.made, Broken.sent, Broken.fails_at = 0, [], -1
    monkeypatch.setattr(dead_letters, "KafkaProducer", Broken)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[PartitionWriter]:
    """The owner of a chain whose every shard has as many dead letters."""
    log = [Record(offset, b"rubbish") for offset in range(SHARDS * EACH)]
    owner = PartitionWriter(Layout(tmp_path), ONE_PARTITION, 0, Windows(), Rotation(EACH, 60_000))
    owner.begin(0, len(log))
    owner.feed([Record(0, encode(Tick(START))), *(Record(record.offset + 1, record.value) for record in log)])
    assert owner.committed is not None and owner.chain.head_number() == SHARDS
    yield owner
    owner.close()


def topic() -> DeadLetterTopic:
    return DeadLetterTopic(Access.plain("nowhere:1"), "dead")


def test_every_letter_of_every_shard_is_sent_once(writer: PartitionWriter) -> None:
    letters = topic()
    assert (letters.send(writer), letters.send(writer)) == (SHARDS * EACH, 0)
    assert Broken.sent == [f"events/0/{offset}".encode() for offset in range(1, SHARDS * EACH + 1)]


def test_after_a_failure_sending_goes_on_at_the_shard_in_which_it_failed(writer: PartitionWriter) -> None:
    Broken.fails_at, Broken.failure = 2 * EACH + 1, KafkaTimeoutError("away")
    with pytest.raises(MissingServer, match="could not be sent to topic dead"):
        topic().send(writer)
    Broken.fails_at = -1
    assert topic().send(writer) == (SHARDS - 2) * EACH


@pytest.mark.parametrize(
    ("failure", "sentence", "hint"),
    [
        (MessageSizeTooLargeError(), "takes no dead letter of this size", "max.message.bytes"),
        (TopicAuthorizationFailedError(), "may not write to topic 'dead'", "administrator"),
    ],
)
def test_what_the_topic_would_refuse_for_ever_is_for_a_person_to_change(
    writer: PartitionWriter, failure: KafkaError, sentence: str, hint: str
) -> None:
    Broken.fails_at, Broken.failure = 0, failure
    with pytest.raises(OperatorError, match=sentence) as refused:
        topic().send(writer)
    assert isinstance(refused.value, AccessRefused) and hint in refused.value.hint


def test_a_producer_that_cannot_be_made_is_told_as_a_broker_that_is_away(
    writer: PartitionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise KafkaTimeoutError("no brokers")

    monkeypatch.setattr(dead_letters, "KafkaProducer", away)
    with pytest.raises(MissingServer, match=r"no Kafka broker at 127\.0\.0\.1:9"):
        DeadLetterTopic(Access.plain("127.0.0.1:9"), "dead").send(writer)


def test_many_threads_that_send_share_one_producer() -> None:
    letters, together = topic(), threading.Barrier(8)

    def ask(_: int) -> object:
        together.wait()
        return letters._producer()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == Broken.made == 1
