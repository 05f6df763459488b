"""A real worker as whoever runs it sees it: its pages, its log, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts import shards
from contracts.events import Click
from contracts.layout import Layout
from infra.kafka.choose import Broker
from streams.log import LogRecord, partitioned
from tests.integration.test_streams_worker import last_tick, log_of, records_of, replayed
from tests.support.servers import make_topic, unique_name
from tests.support.workers import Worker, digests, send, wait_for, watermarks

PARTITIONS = 3
START = 1_507_000_000_000
STOP_S = 20.0


@pytest.fixture
def topic(kafka: Broker, topic_name: str) -> str:
    return make_topic(kafka, topic_name, PARTITIONS)


@pytest.fixture
def group() -> str:
    return unique_name("g")


def clicks(size: int, first: int = 0) -> list[LogRecord]:
    """Clicks of many users, one a second of log time: nothing to join, an event id each."""
    times = (START + number * 1000 for number in range(first, first + size))
    log = (Click(f"u{at // 1000 % 97}", "i", at, at, event_id=f"e{at}") for at in times)
    return list(partitioned(log, PARTITIONS))


def arrived(layout: Layout, topic: str, records: list[LogRecord]) -> bool:
    return min(watermarks(layout, topic, PARTITIONS)) >= last_tick(records)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pages:
    """The pages of a worker on a port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text; status 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def total(self, name: str) -> float:
        """Return the sum of a metric over its labels; -1 while there is none."""
        _, text = self.get("/metrics")
        found = [s.value for f in text_string_to_metric_families(text) for s in f.samples if s.name.endswith(name)]
        return sum(found) if found else -1

    def lags(self) -> list[float]:
        _, text = self.get("/metrics")
        families = text_string_to_metric_families(text)
        return [s.value for f in families if f.name == "freshet_streams_lag_records" for s in f.samples]


def end(worker: Worker, *signals: signal.Signals) -> int:
    """Send signals one after the other, and return the exit code; fail when it takes longer than a stop may."""
    for number in signals:
        os.kill(worker.process.pid, number)
    return worker.process.wait(timeout=STOP_S)


def shard_count(layout: Layout, topic: str) -> int:
    return sum(shards.chain(layout, topic, partition).head_number() for partition in range(PARTITIONS))


def test_the_metrics_of_a_worker_move_as_records_arrive_and_its_lag_goes_to_zero(
    kafka: Broker, topic: str, group: str, tmp_path: Path
) -> None:
    pages, layout = Pages(free_port()), Layout(tmp_path)
    send(kafka, topic, clicks(600))
    with Worker(kafka, topic, layout, group=group, http_port=str(pages.port)) as worker:
        wait_for(lambda: pages.get("/readyz")[0] == 200, [worker], "readiness")
        wait_for(lambda: pages.lags() == [0.0] * PARTITIONS, [worker], "no lag")
        before = pages.total("samples_total")
        assert before > 0
        assert pages.total("assigned_partitions") == PARTITIONS
        more = clicks(600, first=600)
        send(kafka, topic, more)
        wait_for(lambda: arrived(layout, topic, more), [worker], "the last shards")
        wait_for(lambda: pages.total("samples_total") == 1_200, [worker], "all samples")
        wait_for(lambda: pages.lags() == [0.0] * PARTITIONS, [worker], "no lag again")
        assert before < pages.total("samples_total") < pages.total("events_total")
        assert pages.total("commit_seconds_count") == shard_count(layout, topic)
        status, text = pages.get("/healthz")
        health = json.loads(text)
        assert (status, health["healthy"], health["reason"]) == (200, True, "")
        assert [p["watermark"] for p in health["partitions"]] == watermarks(layout, topic, PARTITIONS)


def test_of_two_workers_on_one_port_the_second_is_refused_by_name(
    kafka: Broker, topic: str, group: str, tmp_path: Path
) -> None:
    pages, layout = Pages(free_port()), Layout(tmp_path)
    with Worker(kafka, topic, layout, group=group, http_port=str(pages.port)) as first:
        wait_for(lambda: pages.get("/metrics")[0] == 200, [first], "the first worker's page")
        with Worker(kafka, topic, layout, group=group, http_port=str(pages.port)) as second:
            assert second.ended() == 2
        assert f"cannot listen on 127.0.0.1:{pages.port}" in second.log.read_text()
        assert "FRESHET_STREAMS_HTTP_PORT" in second.log.read_text()
        assert pages.get("/metrics")[0] == 200


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)],
    ids=["SIGTERM", "SIGINT", "SIGTERM twice", "SIGINT twice"],
)
def test_a_worker_that_is_told_to_end_under_load_ends_in_time_and_nothing_is_lost_or_doubled(
    kafka: Broker, topic: str, group: str, tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    records, layout = records_of(log_of(11, 20_000)), Layout(tmp_path / "live")
    send(kafka, topic, records)
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: shard_count(layout, topic) > 5, [worker], "the first shards")
        assert end(worker, *signals) == 0, worker.log.read_text()[-3000:]
        assert "Traceback" not in worker.log.read_text()
    stopped_at = shard_count(layout, topic)
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: arrived(layout, topic, records), [worker], "the last shards")
    assert digests(layout, topic) == replayed(records, tmp_path / "replayed")
    assert 5 < stopped_at < shard_count(layout, topic)


def test_a_worker_that_is_told_to_end_while_its_broker_is_away_ends_in_time_and_the_next_one_goes_on(
    kafka: Broker, topic: str, group: str, tmp_path: Path
) -> None:
    records, layout = records_of(log_of(13, 20_000)), Layout(tmp_path / "live")
    send(kafka, topic, records)
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: shard_count(layout, topic) > 5, [worker], "the first shards")
        kafka.kill()
        try:
            assert end(worker, signal.SIGTERM) == 0, worker.log.read_text()[-3000:]
        finally:
            kafka.start()
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: arrived(layout, topic, records), [worker], "the last shards")
    assert digests(layout, topic) == replayed(records, tmp_path / "replayed")


def test_a_worker_that_is_started_while_its_broker_is_away_ends_as_one_to_be_started_again(
    topic: str, tmp_path: Path
) -> None:
    class Away:
        bootstrap = f"127.0.0.1:{free_port()}"

    with Worker(Away(), topic, Layout(tmp_path)) as worker:
        assert worker.ended() == 1
    assert f"no Kafka broker at {Away.bootstrap}" in worker.log.read_text()


def test_a_worker_that_is_told_to_end_during_a_rebuild_ends_in_time_and_the_next_one_goes_on(
    kafka: Broker, topic: str, group: str, tmp_path: Path
) -> None:
    records, layout = records_of(log_of(12, 20_000)), Layout(tmp_path / "live")
    first, rest = records[: len(records) * 9 // 10], records[len(records) * 9 // 10 :]
    send(kafka, topic, first)
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(
            lambda: min(watermarks(layout, topic, PARTITIONS)) > first[-1].ingest_time - 200_000, [worker], "shards"
        )
    shutil.rmtree(layout.stream_state(topic, 0).parent)
    pages = Pages(free_port())
    with Worker(kafka, topic, layout, group=group, http_port=str(pages.port)) as worker:
        wait_for(lambda: pages.total("next_offset") >= 0, [worker], "a rebuild that begins")
        assert end(worker, signal.SIGTERM) == 0, worker.log.read_text()[-3000:]
    send(kafka, topic, rest)
    with Worker(kafka, topic, layout, group=group) as worker:
        wait_for(lambda: arrived(layout, topic, records), [worker], "the last shards")
    assert digests(layout, topic) == replayed(records, tmp_path / "replayed")


def test_the_json_log_of_a_worker_is_one_object_a_line_and_holds_no_record(
    kafka: Broker, topic: str, group: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path)
    send(kafka, topic, [LogRecord(0, b"SECRET-KEY", b"SECRET-VALUE", 0), *clicks(600)])
    with Worker(kafka, topic, layout, group=group, log_format="json", log_level="debug") as worker:
        wait_for(lambda: shard_count(layout, topic) > 3, [worker], "shards")
        assert end(worker, signal.SIGTERM) == 0
    text = worker.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["topic"] for line in lines} == {topic}
    assert {line["partition"] for line in lines if line["message"] == "partition opened"} == set(range(PARTITIONS))
    assert "SECRET" not in text
