"""The stream worker against a real broker: what is read, what is refused, and that a death loses nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from contracts import events, shards
from contracts.events import Click, Context, Event, Rejected, Request, Shown, Tick
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.shards import DeadLetter
from infra.kafka.choose import Broker
from streams.join import Windows
from streams.log import LogRecord, RawRecord, partitioned
from streams.pipeline import Rotation
from streams.records import Topic
from streams.replay import Replay, Rules
from tests.support.servers import make_topic, unique_name
from tests.support.workers import Worker, digests, send, wait_for, watermarks

PARTITIONS = 3
START = 1_507_000_000_000
CODECS = (None, "gzip", "snappy", "lz4", "zstd")


def log_of(seed: int, size: int) -> Iterator[Event | RawRecord]:
    dice = random.Random(seed)
    for number in range(size):
        now, user, item = START + number * 2_000, f"u{dice.randrange(200)}", f"i{dice.randrange(100)}"
        if dice.random() < 0.6:
            rejected = (Rejected(f"i{dice.randrange(100, 120)}", "rank"),)
            yield Request(f"r{number}", user, now, now, Context({"os": "1"}), (Shown(item, 0),), rejected)
            yield Click(user, item, now, now, event_id=f"e{number}", request_id=f"r{number + (dice.random() < 0.1)}")
        else:
            yield Click(user, item, now, now, event_id=f"e{number - dice.randrange(2)}")


def records_of(log: Iterable[Event | RawRecord]) -> list[LogRecord]:
    return list(partitioned(log, PARTITIONS))


def replayed(records: list[LogRecord], root: Path) -> dict[int, str]:
    """What an undisturbed fold of the same records, without Kafka, arrives at."""
    replay = Replay(Layout(root), Topic("events", "file", PARTITIONS), Rules(Windows(), Rotation()))
    replay.fold(records)
    replay.close()
    return digests(Layout(root), "events")


@pytest.fixture
def topic(kafka: Broker, topic_name: str) -> str:
    return make_topic(kafka, topic_name, PARTITIONS)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "run")


def last_tick(records: list[LogRecord]) -> int:
    return max(record.ingest_time for record in records)


def test_all_codecs_of_kafka_in_one_topic_are_read(kafka: Broker, topic: str, layout: Layout, tmp_path: Path) -> None:
    records = records_of(log_of(1, 2_000))
    for number, codec in enumerate(CODECS):
        send(kafka, topic, records[number * len(records) // 5 : (number + 1) * len(records) // 5], codec)
    with Worker(kafka, topic, layout, group=unique_name("g")) as worker:
        wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= last_tick(records), [worker])
    assert digests(layout, topic) == replayed(records, tmp_path / "replay")


def test_rubbish_becomes_dead_letters_with_reasons_and_the_stream_goes_on(
    kafka: Broker, topic: str, layout: Layout
) -> None:
    letters_topic = make_topic(kafka, unique_name("dead_letters"), 1)
    rubbish = {
        b"not json at all": "not_json",
        b"": "empty",
        b'{"kind":"click"}' + b" " * 5_000_000: "too_large",
        b'{"kind":"tick","ingest_time":"1507000000000"}': "wrong_type",
        b'{"kind":"tick","ingest_time":86400000}': "bad_time",
        b'{"kind":"tick","ingest_time":4102444800000}': "bad_time",
        b'{"kind":"view"}': "unknown_kind",
        b'{"kind":"tick","ingest_time":1507000000000,"schema":2}': "unknown_schema",
        events.encode(Click("u1", "i", START - 3 * 86_400_000, START)): "times_apart",
    }
    good = records_of(log_of(2, 1_000))
    at = len(good) // 2
    bad = [LogRecord(0, None, value, 0) for value in rubbish]
    foreign = next(record for record in good if record.key and record.partition != 0)
    bad.append(LogRecord(0, foreign.key, foreign.value, 0))
    send(kafka, topic, [*good[:at], *bad, *good[at:]], "lz4")
    with Worker(kafka, topic, layout, group=unique_name("g"), dead_letter_topic=letters_topic) as worker:
        wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= last_tick(good), [worker])
        received = consumed(kafka, letters_topic, len(bad))
    chain = shards.chain(layout, topic, 0)
    found = [letter for entry in chain.entries() for letter in shards.read_dead_letters(chain, entry)]
    assert Counter(letter.reason for letter in found) == Counter([*rubbish.values(), "wrong_partition"])
    assert received == found
    assert min(len(letter.detail) for letter in found) > 0
    read = sum((Counter(entry.body.read) for entry in chain.entries()), Counter())
    assert sum(read.values()) == sum(record.partition == 0 for record in good) + len(bad)


def consumed(kafka: Broker, topic: str, count: int) -> list[DeadLetter]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30_000
    )
    try:
        values = [next(consumer).value for _ in range(count)]
    finally:
        consumer.close()
    return [msgspec.json.decode(value, type=DeadLetter) for value in values]


@pytest.mark.parametrize("point", [f"shards.commit.{step}" for step in range(5)])
def test_a_worker_killed_at_any_step_of_the_commit_loses_nothing_and_doubles_nothing(
    kafka: Broker, topic: str, layout: Layout, tmp_path: Path, point: str
) -> None:
    records, group = records_of(log_of(3, 1_500)), unique_name("g")
    send(kafka, topic, records, "lz4")
    with Worker(kafka, topic, layout, crash_at=f"{point}@20", group=group) as doomed:
        assert doomed.ended() == -9
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= last_tick(records), [worker])
    assert digests(layout, topic) == replayed(records, tmp_path / "replay")


def test_a_kafka_offset_ahead_of_the_chain_is_only_a_hint_and_is_read_again_from_the_chain(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    records, group = records_of(log_of(6, 500)), unique_name("g")
    send(kafka, topic, records)
    for root in ("first", "second"):  # the second finds the group at the end of the topic, and no record ever comes
        layout = Layout(tmp_path / root)
        with Worker(kafka, topic, layout, group=group) as worker:
            wait_for(partial(_all_read, layout, topic, last_tick(records)), [worker])
            wait_for(lambda: committed(kafka, topic, group) == ends(kafka, topic), [worker], "the hint")
    assert digests(Layout(tmp_path / "first"), topic) == digests(Layout(tmp_path / "second"), topic)


def _all_read(layout: Layout, topic: str, until: int) -> bool:
    return min(watermarks(layout, topic, PARTITIONS)) >= until


def committed(kafka: Broker, topic: str, group: str) -> list[int | None]:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False)
    try:
        return [consumer.committed(TopicPartition(topic, partition)) for partition in range(PARTITIONS)]
    finally:
        consumer.close()


def ends(kafka: Broker, topic: str) -> list[int]:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap)
    try:
        found = consumer.end_offsets([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        return [found[TopicPartition(topic, partition)] for partition in range(PARTITIONS)]
    finally:
        consumer.close()


def test_aborted_transactions_are_not_read_and_committed_ones_are(kafka: Broker, topic: str, layout: Layout) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic, acks="all")
    producer.init_transactions()
    wanted = []
    for number in range(12):
        producer.begin_transaction()
        for part in range(5):
            time, item = START + (number * 5 + part) * 1_000, f"{'bad' if number % 3 == 2 else 'good'}-{number}-{part}"
            producer.send(topic, events.encode(Click("u1", item, time, time)), partition=partition_of("u1", PARTITIONS))
            wanted += [item] if item.startswith("good") else []
        producer.flush()
        if number % 3 == 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    ends = [(p, events.encode(Tick(START + at))) for at in (240_000, 300_000) for p in range(PARTITIONS)]
    send(kafka, topic, [LogRecord(partition, None, value, 0) for partition, value in ends])
    with Worker(kafka, topic, layout, group=unique_name("g")) as worker:
        wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= START + 300_000, [worker])
    chain = shards.chain(layout, topic, partition_of("u1", PARTITIONS))
    shards.verify(chain)
    assert [sample.item_id for sample in shards.read_from(chain)] == wanted


def test_a_dead_letter_that_the_broker_refuses_is_not_counted_as_sent(
    kafka: Broker, topic: str, layout: Layout
) -> None:
    narrow = make_topic(kafka, unique_name("narrow"), 1, {"max.message.bytes": "400"})
    ticks = [LogRecord(p, None, events.encode(Tick(START + n * 60_000)), 0) for n in (0, 1) for p in range(PARTITIONS)]
    send(kafka, topic, [LogRecord(0, None, b"x" * 3_000, 0), *ticks])
    group = unique_name("g")
    with Worker(kafka, topic, layout, group=group, dead_letter_topic=narrow) as worker:
        assert worker.ended() == 2
        assert f"topic {narrow} takes no dead letter of this size" in worker.log.read_text()
        assert "max.message.bytes" in worker.log.read_text()
    wide = make_topic(kafka, unique_name("wide"), 1)
    with Worker(kafka, topic, layout, group=group, dead_letter_topic=wide) as worker:
        send(kafka, topic, [LogRecord(0, None, events.encode(Tick(START + 120_000)), 0)])
        assert [letter.reason for letter in consumed(kafka, wide, 1)] == ["not_json"]


def test_two_workers_that_come_and_go_give_the_samples_of_an_undisturbed_fold(
    kafka: Broker, topic: str, layout: Layout, tmp_path: Path
) -> None:
    records, group = records_of(log_of(4, 4_000)), unique_name("g")
    parts = [records[at : at + len(records) // 4 + 1] for at in range(0, len(records), len(records) // 4 + 1)]
    with Worker(kafka, topic, layout, group=group) as first:
        send(kafka, topic, parts[0], "lz4")
        wait_for(lambda: max(watermarks(layout, topic, PARTITIONS)) >= START, [first])
        with Worker(kafka, topic, layout, group=group) as second:
            send(kafka, topic, parts[1], "lz4")
            wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= _seen(parts[1]), [first, second])
            first.kill()
            send(kafka, topic, parts[2], "lz4")
            wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= _seen(parts[2]), [second])
    with Worker(kafka, topic, layout, group=group) as third:
        send(kafka, topic, parts[3], "lz4")
        wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= last_tick(records), [third])
    assert digests(layout, topic) == replayed(records, tmp_path / "replay")


def _seen(part: list[LogRecord]) -> int:
    """Return the newest tick that every partition has had by the end of `part`."""
    return max(record.ingest_time for record in part if record.key is None and record.partition == PARTITIONS - 1)


def test_a_topic_that_was_deleted_and_created_anew_is_refused_by_name(
    kafka: Broker, topic: str, layout: Layout
) -> None:
    records, group = records_of(log_of(5, 300)), unique_name("g")
    send(kafka, topic, records)
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= last_tick(records), [worker])
    before = digests(layout, topic)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_topics([topic])
    wait_for(lambda: not any(t["partitions"] for t in admin.describe_topics([topic])), what="the deletion")
    admin.close()
    make_topic(kafka, topic, PARTITIONS)
    send(kafka, topic, records)
    with Worker(kafka, topic, layout, group=group) as worker:
        assert worker.ended() == 2
        assert "created anew" in worker.log.read_text()
    assert digests(layout, topic) == before


def test_a_broker_that_does_not_answer_and_a_topic_that_is_not_there_are_one_sentence_each(
    kafka: Broker, layout: Layout
) -> None:
    with Worker(kafka, "no-such-topic", layout) as worker:
        assert worker.ended() == 2
    text = worker.log.read_text()
    assert "topic 'no-such-topic' does not exist" in text
    assert "Traceback" not in text
