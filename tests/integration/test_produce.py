"""`freshet produce` against a real broker: what a topic holds afterwards, and after it was interrupted."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from contracts.errors import MissingServer, UsageError
from contracts.events import Click, encode
from infra.kafka.choose import Broker
from streams.access import Access
from streams.commands_produce import produce
from streams.log import LogRecord, partitioned
from streams.produce import COMPRESSIONS, Producer, ensure_topic, held, missing_from
from tests.support.servers import make_topic

NOON = 1_700_000_000_000
LOG = [Click(f"u{n % 37}", f"i{n % 11}", NOON + n * 20_000, NOON + n * 20_000, f"c{n}") for n in range(300)]


def records_in(broker: Broker, topic: str, partitions: int) -> dict[int, list[tuple[bytes | None, bytes]]]:
    """Read key and value of everything that the topic holds now, by partition."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
    assigned = [TopicPartition(topic, partition) for partition in range(partitions)]
    consumer.assign(assigned)
    consumer.seek_to_beginning(*assigned)
    ends = consumer.end_offsets(assigned)
    found: dict[int, list[tuple[bytes | None, bytes]]] = {partition: [] for partition in range(partitions)}
    while any(consumer.position(at) < ends[at] for at in assigned):
        for at, records in consumer.poll(timeout_ms=1000).items():
            found[at.partition] += [(record.key, record.value) for record in records]
    consumer.close()
    return found


def expected(partitions: int) -> dict[int, list[tuple[bytes | None, bytes]]]:
    found: dict[int, list[tuple[bytes | None, bytes]]] = {partition: [] for partition in range(partitions)}
    for record in partitioned(LOG, partitions):
        found[record.partition].append((record.key, record.value))
    return found


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(encode(event) for event in LOG))
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_topic_holds_the_records_of_the_log_in_order_in_each_codec(
    kafka: Broker, topic_name: str, log_file: Path, compression: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(log_file), "--topic", topic_name, "--partitions", "3", "--compression", compression]
    assert produce(["--bootstrap", kafka.bootstrap, *arguments]) == 0
    assert records_in(kafka, topic_name, 3) == expected(3)
    topic = ensure_topic(Access.plain(kafka.bootstrap), topic_name)
    said = capsys.readouterr().out
    assert topic.topic_id in said and "the log held 300 clicks" in said


def test_an_interrupted_production_goes_on_where_the_topic_ends(kafka: Broker, topic_name: str) -> None:
    topic = ensure_topic(Access.plain(kafka.bootstrap), topic_name, 3)
    with Producer(Access.plain(kafka.bootstrap), topic_name) as producer:
        producer.send(islice(partitioned(LOG, 3), 251))
        assert sum(producer.flush().values()) == 251
    with Producer(Access.plain(kafka.bootstrap), topic_name) as producer:
        producer.send(missing_from(held(Access.plain(kafka.bootstrap), topic), partitioned(LOG, 3)))
    assert records_in(kafka, topic_name, 3) == expected(3)
    assert list(missing_from(held(Access.plain(kafka.bootstrap), topic), partitioned(LOG, 3))) == []


def test_a_topic_that_holds_another_log_is_not_added_to(kafka: Broker, topic_name: str, log_file: Path) -> None:
    ensure_topic(Access.plain(kafka.bootstrap), topic_name, 1)
    with Producer(Access.plain(kafka.bootstrap), topic_name) as producer:
        producer.send([LogRecord(0, None, b"something else", NOON)])
    arguments = ["--bootstrap", kafka.bootstrap, "--topic", topic_name, "--data", str(log_file)]
    with pytest.raises(UsageError, match="other records than the beginning of this log"):
        produce(arguments)
    assert produce([*arguments, "--append"]) == 0
    assert records_in(kafka, topic_name, 1)[0] == [(None, b"something else"), *expected(1)[0]]


def test_a_topic_with_more_records_than_the_log_is_not_this_log(kafka: Broker, topic_name: str) -> None:
    topic = ensure_topic(Access.plain(kafka.bootstrap), topic_name, 2)
    with Producer(Access.plain(kafka.bootstrap), topic_name) as producer:
        producer.send(partitioned(LOG, 2))
    with pytest.raises(UsageError, match="other records"):
        list(missing_from(held(Access.plain(kafka.bootstrap), topic), partitioned(LOG[:100], 2)))


def test_another_number_of_partitions_is_refused(kafka: Broker, topic_name: str) -> None:
    first = ensure_topic(Access.plain(kafka.bootstrap), topic_name, 2)
    assert ensure_topic(Access.plain(kafka.bootstrap), topic_name) == first
    with pytest.raises(UsageError, match="has 2 partitions, not 5"):
        ensure_topic(Access.plain(kafka.bootstrap), topic_name, 5)


def test_a_name_that_no_topic_can_have_is_refused(kafka: Broker) -> None:
    with pytest.raises(UsageError, match="cannot be created"):
        ensure_topic(Access.plain(kafka.bootstrap), "no spaces, please")


@pytest.mark.parametrize("size", [100_000, 5 << 20])
def test_a_record_that_is_refused_by_client_or_broker_ends_the_production_by_name(
    kafka: Broker, topic_name: str, size: int
) -> None:
    make_topic(kafka, topic_name, 1, {"max.message.bytes": "50000"})
    with (
        pytest.raises(MissingServer, match="took a record no more"),
        Producer(Access.plain(kafka.bootstrap), topic_name, "none") as producer,
    ):
        producer.send([LogRecord(0, None, b"x" * size, NOON)])


def test_a_broker_that_does_not_answer_is_told_in_one_sentence(log_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.access.BOOTSTRAP_TIMEOUT_MS", 500)
    with pytest.raises(MissingServer, match=r"no Kafka broker at 127\.0\.0\.1:9") as refused:
        produce(["--bootstrap", "127.0.0.1:9", "--data", str(log_file), "--topic", "t"])
    assert refused.value.exit_code == 2 and "--bootstrap" in refused.value.hint
