"""`freshet streams attach` and `check-source` against a real broker: three formats, deaths, each record once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from contracts import crash, events, samples, shards
from contracts.errors import UsageError
from contracts.events import Click, Tick
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.settings import CONFIG_FOLDER
from infra.kafka.choose import Broker
from streams.commands_attach import attach, check_source
from tests.support import foreign
from tests.support.servers import make_topic, unique_name
from tests.support.workers import REPOSITORY, Worker, wait_for

PARTITIONS, CLICKS = 4, 500
TABLE = """
[[source]]
topic = "{topic}"
kind = "click"
user = "{user}"
item = "sku"
time = "at"
time_unit = "ms"
event_id = "uuid"
discrete = {{ device = "device" }}
continuous = {{ scroll = "scroll" }}
{more}
"""


class Attach(Worker):
    """A `freshet streams attach` process with settings of its own; leaving the block kills it."""

    def __init__(self, config: Path, name: str, crash_at: str = "") -> None:
        self.log = config / f"attach-{name}-{time.monotonic_ns()}.log"
        command = [sys.executable, str(REPOSITORY / "freshet.py"), "streams", "attach", "--name", name]
        variables = {CONFIG_FOLDER: str(config), **({crash.VARIABLE: crash_at} if crash_at else {})}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True
            )


class Foreign:
    """Three topics of other people with the same clicks in them, none of it by user, and the settings that map them."""

    def __init__(self, broker: Broker, folder: Path, stem: str) -> None:
        self.broker, self.config = broker, folder
        self.events = make_topic(broker, unique_name(f"{stem}_events"), PARTITIONS)
        self.topics = [make_topic(broker, unique_name(f"{stem}_{name}"), 3) for name in ("json", "avro", "protobuf")]
        self.values: list[Callable[[dict[str, Any]], bytes]] = [
            foreign.json_value,
            foreign.avro_value,
            foreign.protobuf_value,
        ]
        self.sent = 0
        self.write_settings()

    def write_settings(self, user: str = "visitor.id", **more: Any) -> None:
        avro = f'format = "avro"\nframing = "confluent"\nschema_file = "{foreign.write_avro_schema(self.config)}"'
        messages = foreign.write_descriptor_set(self.config)
        protobuf = f'format = "protobuf"\nframing = "confluent"\nmessage = "shop.Click"\nschema_file = "{messages}"'
        keys = {
            "bootstrap": self.broker.bootstrap,
            "topic": self.events,
            "attach_group": f"attach-{self.events}",
            "attach_records": 100,
            "attach_tick_seconds": 1,
            **more,
        }
        text = "\n".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in keys.items())
        for topic, written in zip(self.topics, ("", avro, protobuf), strict=True):
            text += TABLE.format(topic=topic, user=user, more=written)
        (self.config / "streams.toml").write_text(text)

    def send(self, count: int = CLICKS) -> None:
        """Send that many clicks to each topic, all of now, keyed by session; and one record that is no click."""
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap)
        now = time.time_ns() // 1_000_000
        for topic, value in zip(self.topics, self.values, strict=True):
            for number in range(self.sent, self.sent + count):
                record = {**foreign.click(number), "uuid": f"{topic}-{number}", "at": now}
                producer.send(topic, value(record), key=f"session{number % 23}".encode())
            producer.send(topic, b"garbage", key=b"session0")
        producer.flush()
        producer.close()
        self.sent += count

    def ids(self) -> Counter[str]:
        return Counter(f"{topic}-{number}" for topic in self.topics for number in range(self.sent))


def committed(broker: Broker, topic: str) -> list[tuple[int, bytes | None, bytes]]:
    """Return partition, key and value of all committed records of a topic."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap, enable_auto_commit=False, isolation_level="read_committed"
    )
    assigned = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer.assign(assigned)
    consumer.seek_to_beginning(*assigned)
    ends = consumer.end_offsets(assigned)
    found = []
    while any(consumer.position(at) < ends[at] for at in assigned):
        for at, records in consumer.poll(timeout_ms=200).items():
            found += [(at.partition, record.key, record.value) for record in records]
    consumer.close()
    return found


def clicks_in(records: list[tuple[int, bytes | None, bytes]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for partition, key, value in records:
        if key is None:
            continue
        click = events.decode(value)
        assert isinstance(click, Click)
        assert (key, partition) == (click.user_id.encode(), partition_of(click.user_id, PARTITIONS))
        assert click.context.continuous == {"scroll": 0.5}
        found[click.event_id] += 1
    return found


def all_there(foreign_topics: Foreign) -> bool:
    found = clicks_in(committed(foreign_topics.broker, foreign_topics.events))
    return found.total() >= 3 * foreign_topics.sent


def refused_in(records: list[tuple[int, bytes | None, bytes]]) -> int:
    return sum(value.startswith(b"bad row: ") for _, _, value in records)


@pytest.fixture
def shop(kafka: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Foreign:
    return Foreign(kafka, tmp_path, request.node.name[:24])


@pytest.mark.parametrize("step", range(1, 6))
def test_an_attachment_killed_at_any_step_sends_each_record_once(shop: Foreign, step: int) -> None:
    shop.send()
    with Attach(shop.config, "one", f"attach.move.{step}@4") as doomed:
        assert doomed.ended() == -signal.SIGKILL
    with Attach(shop.config, "one") as again:
        wait_for(partial(all_there, shop), [again], "all clicks")
    records = committed(shop.broker, shop.events)
    assert clicks_in(records) == shop.ids()
    assert refused_in(records) == 3


def test_what_was_attached_becomes_the_samples_of_the_worker(shop: Foreign, tmp_path: Path) -> None:
    shop.send()
    layout = Layout(tmp_path / "run")
    with (
        Attach(shop.config, "one") as attached,
        Worker(shop.broker, shop.events, layout, group=unique_name("g"), rotate_seconds="1") as worker,
    ):
        wait_for(lambda: len(sampled(layout, shop.events)) >= 3 * CLICKS, [attached, worker], "all samples")
        wait_for(lambda: len(letters_of(layout, shop.events)) >= 3, [attached, worker], "all dead letters")
    found = sampled(layout, shop.events)
    clicks = [foreign.click(number) for number in range(CLICKS)] * 3
    assert Counter((sample.user_id, sample.item_id, sample.context.discrete["device"]) for sample in found) == Counter(
        (click["visitor"]["id"], str(click["sku"]), click["device"]) for click in clicks
    )
    assert all(sample.context.continuous == {"scroll": 0.5} for sample in found)
    letters = letters_of(layout, shop.events)
    assert [letter.reason for letter in letters] == ["not_json"] * 3
    assert all(any(topic in letter.value for letter in letters) for topic in shop.topics)


def letters_of(layout: Layout, topic: str) -> list[shards.DeadLetter]:
    chains = [shards.chain(layout, topic, partition) for partition in shards.partitions(layout, topic)]
    return [
        letter for chain in chains for entry in chain.entries() for letter in shards.read_dead_letters(chain, entry)
    ]


def sampled(layout: Layout, topic: str) -> list[samples.Sample]:
    chains = [shards.chain(layout, topic, partition) for partition in shards.partitions(layout, topic)]
    return [sample for chain in chains for entry in chain.entries() for sample in shards.read_samples(chain, entry)]


def test_one_that_slept_within_a_transaction_while_another_took_over_doubles_nothing(shop: Foreign) -> None:
    shop.send()
    with Attach(shop.config, "sleeper", "stop:attach.move.3@4") as sleeper:
        os.waitid(os.P_PID, sleeper.process.pid, os.WSTOPPED | os.WNOWAIT)
        with Attach(shop.config, "other") as other:
            shop.send()
            wait_for(lambda: clicks_in(committed(shop.broker, shop.events)).total() > 4 * CLICKS, [other], "a takeover")
            os.kill(sleeper.process.pid, signal.SIGCONT)
            wait_for(partial(all_there, shop), [other, sleeper], "all clicks")
    assert clicks_in(committed(shop.broker, shop.events)) == shop.ids()


def test_two_share_the_work_and_one_that_is_told_to_end_hands_it_over(shop: Foreign) -> None:
    with Attach(shop.config, "one") as one, Attach(shop.config, "two") as two:
        shop.send()
        wait_for(partial(all_there, shop), [one, two], "all clicks")
        one.process.terminate()
        assert one.ended() == 0
        shop.send()
        wait_for(partial(all_there, shop), [two], "all clicks")
    assert clicks_in(committed(shop.broker, shop.events)) == shop.ids()


def test_a_second_one_of_the_same_name_takes_over_and_the_first_ends_by_name(shop: Foreign) -> None:
    shop.send(50)
    with Attach(shop.config, "same") as first:
        wait_for(partial(all_there, shop), [first], "all clicks")
        with Attach(shop.config, "same") as second:
            assert first.ended() == 2
            shop.send(50)
            wait_for(partial(all_there, shop), [second], "all clicks")
    said = first.log.read_text()
    assert "another process attaches under the name 'same'" in said and "Traceback" not in said
    assert clicks_in(committed(shop.broker, shop.events)) == shop.ids()


def test_ticks_go_to_every_partition_and_never_back_behind_an_event(shop: Foreign) -> None:
    shop.send(50)
    with Attach(shop.config, "one") as attached:
        wait_for(partial(ticked, shop, 3), [attached], "three ticks in every partition")
    latest = dict.fromkeys(range(PARTITIONS), 0)
    for partition, _, value in committed(shop.broker, shop.events):
        if not value.startswith(b"bad row"):
            event = events.decode(value)
            assert not isinstance(event, Tick) or event.ingest_time >= latest[partition]
            latest[partition] = max(latest[partition], event.ingest_time)


def ticked(shop: Foreign, times: int) -> bool:
    found = Counter(partition for partition, _, value in committed(shop.broker, shop.events) if b'"tick"' in value)
    return len(found) == PARTITIONS and min(found.values()) >= times


def test_aborted_records_of_a_source_are_not_taken_and_its_markers_hold_no_tick_up(shop: Foreign) -> None:
    producer = KafkaProducer(bootstrap_servers=shop.broker.bootstrap, transactional_id=unique_name("t"))
    producer.init_transactions()
    now = time.time_ns() // 1_000_000
    for number, end in enumerate((producer.abort_transaction, producer.commit_transaction)):
        producer.begin_transaction()
        producer.send(shop.topics[0], foreign.json_value({**foreign.click(number), "at": now}), partition=0)
        producer.flush()
        end()
    producer.close()
    with Attach(shop.config, "one") as attached:
        wait_for(partial(ticked, shop, 2), [attached], "two ticks in every partition")
    assert clicks_in(committed(shop.broker, shop.events)) == {"c1": 1}


def test_records_that_retention_deleted_before_they_were_read_are_named(shop: Foreign) -> None:
    shop.send(50)
    with Attach(shop.config, "one") as attached:
        wait_for(partial(all_there, shop), [attached], "all clicks")
    shop.send(50)
    admin = KafkaAdminClient(bootstrap_servers=shop.broker.bootstrap)
    admin.delete_records({TopicPartition(shop.topics[0], partition): -1 for partition in range(3)})
    admin.close()
    shop.send(50)
    with Attach(shop.config, "one") as attached:
        assert attached.ended() == 2
    said = attached.log.read_text()
    assert "has not read are gone from their topic" in said and shop.topics[0] in said and "Traceback" not in said


def test_a_topic_that_is_not_there_and_one_that_feeds_itself_are_refused(
    shop: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_FOLDER, str(shop.config))
    shop.write_settings(topic=shop.topics[0])
    with pytest.raises(UsageError, match="is a \\[\\[source\\]\\] and what is fed from it"):
        attach([])
    shop.topics[0] = "no-such-topic"
    shop.write_settings()
    with Attach(shop.config, "one") as attached:
        assert attached.ended() == 2
    assert "source topic 'no-such-topic' does not exist" in attached.log.read_text()


def test_check_source_shows_events_and_ends_with_0_where_all_maps(
    shop: Foreign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_FOLDER, str(shop.config))
    shop.send(50)
    assert check_source(["--from", "oldest", "--records", "15"]) == 0
    said = capsys.readouterr().out
    assert said.count("records map") == 3 and '"kind":"click"' in said
    assert check_source(["--json"]) == 2  # the newest hold what is no click
    reports = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [(report["topic"], report["mapped"], report["looked_at"]) for report in reports] == [
        (topic, 50, 51) for topic in shop.topics
    ]
    assert {len(report["examples"]) for report in reports} == {10}


def test_check_source_ends_with_2_and_the_line_to_write_where_a_path_is_wrong(
    shop: Foreign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_FOLDER, str(shop.config))
    shop.send(50)
    shop.write_settings(user="visitor.uid")
    assert check_source([]) == 2
    assert capsys.readouterr().out.count('write: user = "visitor.id"') == 3
    with pytest.raises(UsageError, match=r"no \[\[source\]\] table of streams.toml names topic"):
        check_source(["--topic", "x"])
