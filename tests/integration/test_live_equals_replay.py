"""Law 4 against a real broker: however a log becomes samples, they are the same, but for their source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from contracts import events, shards
from contracts.events import Click, Event, Tick
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.samples import Sample
from infra.kafka.choose import Broker
from streams.log import LogRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from tests.support.logs import START
from tests.support.replays import PARTITIONS, ReplayProcess, mixed_events, replayed, write_log
from tests.support.servers import make_topic, unique_name
from tests.support.workers import Worker, digests, send, wait_for, watermarks

SINCE, UNTIL = START + 3_600_000, START + 2 * 3_600_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some hours in a file, with everything that a joiner meets."""
    return write_log(tmp_path_factory.mktemp("log") / "log.jsonl", mixed_events(11, 1_500))


@pytest.fixture(scope="module")
def records(log: Path) -> list[LogRecord]:
    return list(open_source(SourceOptions(log)).records(PARTITIONS))


@pytest.fixture(scope="module")
def topic(kafka: Broker, records: list[LogRecord]) -> str:
    """A topic that holds the log."""
    name = make_topic(kafka, unique_name("live_equals_replay"), PARTITIONS)
    send(kafka, name, records, "lz4")
    return name


@pytest.fixture(scope="module")
def live(kafka: Broker, topic: str, records: list[LogRecord], tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The shards that one undisturbed worker made of the topic."""
    layout = Layout(tmp_path_factory.mktemp("live"))
    with Worker(kafka, topic, layout, group=unique_name("g")) as worker:
        _wait_for_end(layout, topic, records, worker)
    return layout


def _wait_for_end(layout: Layout, topic: str, records: list[LogRecord], *workers: Worker) -> None:
    last = max(record.ingest_time for record in records)
    wait_for(lambda: min(watermarks(layout, topic, PARTITIONS)) >= last, workers)


def from_kafka(kafka: Broker, topic: str, *arguments: str) -> tuple[str, ...]:
    return ("--from-kafka", "--bootstrap", kafka.bootstrap, "--topic", topic, *arguments)


def test_three_workers_with_kills_give_the_samples_of_one(
    kafka: Broker, topic: str, live: Layout, records: list[LogRecord], tmp_path: Path
) -> None:
    layout, group = Layout(tmp_path), unique_name("g")
    with Worker(kafka, topic, layout, crash_at="shards.commit.2@9", group=group) as doomed:
        assert doomed.ended() == -9
    with ExitStack() as stack:
        three = [stack.enter_context(Worker(kafka, topic, layout, group=group)) for _ in range(3)]
        wait_for(lambda: max(watermarks(layout, topic, PARTITIONS)) >= START, three)
        three.pop().kill()
        _wait_for_end(layout, topic, records, *three)
    assert digests(layout, topic) == digests(live, topic)


@pytest.mark.parametrize("processes", ["1", "3"])
def test_the_log_in_a_file_gives_the_samples_of_the_live_worker(
    log: Path, topic: str, live: Layout, tmp_path: Path, processes: str
) -> None:
    replayed(tmp_path, "--data", str(log), "--partitions", str(PARTITIONS), "--processes", processes)
    assert digests(Layout(tmp_path), "events") == digests(live, topic)


@pytest.mark.parametrize(
    "part",
    [(), ("--since", "2017-01-01"), ("--offsets", ",".join(f"{partition}:0-" for partition in range(PARTITIONS)))],
    ids=["all", "time", "offsets"],
)
def test_the_topic_itself_gives_the_samples_of_the_live_worker(
    kafka: Broker, topic: str, live: Layout, tmp_path: Path, part: tuple[str, ...]
) -> None:
    printed = replayed(tmp_path, *from_kafka(kafka, topic, *part))
    assert digests(Layout(tmp_path), topic) == digests(live, topic)
    assert shards.combined(digests(live, topic)) in printed


def test_a_replay_of_a_topic_that_is_killed_again_and_again_gives_the_same_samples(
    kafka: Broker, topic: str, live: Layout, tmp_path: Path
) -> None:
    arguments = from_kafka(kafka, topic, "--processes", "2")
    for step in range(5):
        with ReplayProcess(tmp_path, *arguments, crash_at=f"shards.commit.{step}@2") as doomed:
            assert doomed.ended() == 1
            assert "killed by signal 9" in doomed.errors
    replayed(tmp_path, *arguments)
    assert digests(Layout(tmp_path), topic) == digests(live, topic)


def _samples(layout: Layout, topic: str) -> Iterator[tuple[object, ...]]:
    for partition in shards.partitions(layout, topic):
        for sample in shards.read_from(shards.chain(layout, topic, partition)):
            yield _without_position(sample)


def _without_position(sample: Sample) -> tuple[object, ...]:
    context = (tuple(sample.context.discrete.items()), tuple(sample.context.continuous.items()))
    at = (sample.watermark, sample.event_time, sample.joined, sample.arm, sample.served_version)
    return (*at, sample.user_id, sample.item_id, context, sample.hard_negatives)


def _range(*more: str) -> tuple[str, ...]:
    return ("--since", _iso(SINCE), "--until", _iso(UNTIL), *more)


def _iso(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat()


def test_a_range_of_time_gives_what_the_live_worker_made_of_it_and_its_watermark_comes_to_the_end(
    kafka: Broker, topic: str, live: Layout, tmp_path: Path
) -> None:
    replayed(tmp_path, *from_kafka(kafka, topic, *_range()))
    whole = [sample for sample in _samples(live, topic) if SINCE <= sample[0] < UNTIL]  # type: ignore[operator]
    found = [sample for sample in _samples(Layout(tmp_path), topic) if sample[0] < UNTIL]  # type: ignore[operator]
    assert len(whole) > 50
    assert found == whole
    assert min(watermarks(Layout(tmp_path), topic, PARTITIONS)) >= UNTIL
    assert {sample[2] for sample in found} >= {"request", "late", "orphan", "direct"}


def _with_clocks_ahead(records: list[LogRecord]) -> Iterator[LogRecord]:
    """Yield the records, and behind every fourth a tick two hours ahead, or once in a while five years."""
    for number, record in enumerate(records):
        yield record
        if number % 4 == 3:
            ahead = 5 * 365 * 24 * 3_600_000 if number % 100 == 3 else 2 * 3_600_000
            yield LogRecord(record.partition, None, events.encode(Tick(record.ingest_time + ahead)), 0)


def _with_strangers_ahead(records: list[LogRecord]) -> Iterator[LogRecord]:
    """Yield the records, and behind every fourth a click half an hour ahead, of a user of another partition."""
    for number, record in enumerate(records):
        yield record
        if number % 4 == 3:
            time = record.ingest_time + 30 * 60_000
            user = next(user for user in map(str, count()) if partition_of(user, PARTITIONS) != record.partition)
            yield LogRecord(record.partition, user.encode(), events.encode(Click(user, "i", time, time)), 0)


@pytest.mark.parametrize("disturb", [_with_clocks_ahead, _with_strangers_ahead])
def test_clocks_that_are_ahead_move_no_bound_of_a_range(
    kafka: Broker,
    topic_name: str,
    records: list[LogRecord],
    tmp_path: Path,
    disturb: Callable[[list[LogRecord]], Iterator[LogRecord]],
) -> None:
    name = make_topic(kafka, topic_name, PARTITIONS)
    send(kafka, name, list(disturb(records)))
    replayed(tmp_path / "all", *from_kafka(kafka, name))
    replayed(tmp_path / "range", *from_kafka(kafka, name, *_range()))
    everything, found = (list(_samples(Layout(tmp_path / run), name)) for run in ("all", "range"))
    whole = [sample for sample in everything if SINCE <= sample[0] < UNTIL]  # type: ignore[operator]
    assert len(whole) > 50
    assert [sample for sample in found if sample[0] < UNTIL] == whole  # type: ignore[operator]


def test_a_click_that_waits_when_a_silence_begins_leaves_in_the_range_that_begins_in_it(
    kafka: Broker, topic_name: str, tmp_path: Path
) -> None:
    name, mine, day = make_topic(kafka, topic_name, PARTITIONS), partition_of("u1", PARTITIONS), 24 * 3_600_000
    log: list[Event] = [Click("u1", "i", START, START, request_id="never"), Tick(START + 1000)]
    log += [Click("u1", f"i{number}", START + 3 * day, START + 3 * day) for number in range(100)]
    send(kafka, name, [LogRecord(mine, b"u1", events.encode(event), 0) for event in log])
    since = START + day
    replayed(tmp_path / "all", *from_kafka(kafka, name))
    replayed(tmp_path / "since", *from_kafka(kafka, name, "--since", _iso(since)))
    everything, found = (list(_samples(Layout(tmp_path / run), name)) for run in ("all", "since"))
    assert found == [sample for sample in everything if sample[0] >= since]  # type: ignore[operator]
    assert "orphan" in {sample[2] for sample in found}


def test_a_cold_range_knows_no_earlier_request(kafka: Broker, topic: str, live: Layout, tmp_path: Path) -> None:
    replayed(tmp_path, *from_kafka(kafka, topic, *_range("--cold")))
    orphans = sum(sample[2] == "orphan" for sample in _samples(Layout(tmp_path), topic))
    known = [s for s in _samples(live, topic) if SINCE <= s[0] < UNTIL and s[2] == "orphan"]  # type: ignore[operator]
    assert orphans > 2 * len(known)


def test_ranges_of_offsets_go_on_where_the_last_one_ended_and_another_beginning_is_refused(
    kafka: Broker, topic: str, live: Layout, tmp_path: Path
) -> None:
    for end in ("100", "250", ""):
        replayed(tmp_path, *from_kafka(kafka, topic, "--offsets", f"1:0-{end}"))
    assert digests(Layout(tmp_path), topic) == {1: digests(live, topic)[1]}
    for other in ("1:5-", "1:0-200"):
        with ReplayProcess(tmp_path, *from_kafka(kafka, topic, "--offsets", other)) as refused:
            assert refused.ended() == 2
            assert "--root of its own" in refused.errors
    with ReplayProcess(tmp_path, *from_kafka(kafka, topic, "--offsets", "7:0-")) as refused:
        assert refused.ended() == 2
        assert "no partition 7" in refused.errors


def test_aborted_records_are_left_out_and_an_open_transaction_is_the_end(
    kafka: Broker, topic_name: str, tmp_path: Path
) -> None:
    name, mine = make_topic(kafka, topic_name, PARTITIONS), partition_of("u1", PARTITIONS)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name, acks="all")
    producer.init_transactions()
    for number in range(7):
        producer.begin_transaction()
        time = START + number * 60_000
        producer.send(name, events.encode(Click("u1", f"i{number}", time, time)), partition=mine)
        producer.flush()
        if number < 6:
            producer.abort_transaction() if number % 2 else producer.commit_transaction()
    send(kafka, name, [LogRecord(mine, None, events.encode(Tick(START + 3_600_000)), 0)])
    try:
        replayed(tmp_path / "all", *from_kafka(kafka, name))
        since = ("--since", _iso(START + 30_000))
        replayed(tmp_path / "since", *from_kafka(kafka, name, *since))
    finally:
        producer.abort_transaction()
        producer.close()
    chains = [shards.chain(Layout(tmp_path / run), name, mine) for run in ("all", "since")]
    assert [[sample.item_id for sample in shards.read_from(chain)] for chain in chains] == [
        ["i0", "i2", "i4"],
        ["i2", "i4"],
    ]


def test_a_topic_that_was_made_anew_is_refused_by_a_replay_that_goes_on(
    kafka: Broker, topic_name: str, records: list[LogRecord], tmp_path: Path
) -> None:
    name = make_topic(kafka, topic_name, PARTITIONS)
    send(kafka, name, records[:500])
    replayed(tmp_path, *from_kafka(kafka, name))
    before = digests(Layout(tmp_path), name)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_topics([name])
    wait_for(lambda: not any(t["partitions"] for t in admin.describe_topics([name])), what="the deletion")
    admin.close()
    make_topic(kafka, name, PARTITIONS)
    send(kafka, name, records)
    with ReplayProcess(tmp_path, *from_kafka(kafka, name)) as refused:
        assert refused.ended() == 2
        assert "created anew" in refused.errors
    assert digests(Layout(tmp_path), name) == before
