"""`freshet doctor` beside real servers: a topic that is not the one of the shards, a log that no longer holds what is
needed, a store and a sink that lack what is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from pydantic import SecretStr
from pymilvus import MilvusClient

from contracts import shards
from contracts.layout import Layout
from contracts.settings import CONFIG_FOLDER
from infra.kafka.choose import Broker
from infra.milvus.server import MilvusServer
from infra.redis.server import RedisServer
from publisher.milvus_sink import MilvusSink
from publisher.redis_sink import RedisSink
from publisher.settings import Sinks
from publisher.sinks import follow
from streams.access import Access
from streams.topics import Log
from tests.support.checked import doctor, installation, write_shards
from tests.support.secured import PASSWORDS, STRANGER, SecuredBroker
from tests.support.servers import make_topic, unique_name
from tests.support.shards import Log as Pretended

RECORDS = 100
DAY_MS = 86_400_000


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv(CONFIG_FOLDER, str(folder))
    return folder


class Running:
    """A topic with records in both partitions, shards that were made from it, and settings that name it."""

    def __init__(self, broker: Broker, topic: str, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.broker, self.topic, self.layout = broker, topic, Layout(folder / "run")
        make_topic(broker, topic, 2, settings)
        self.log = Log(Access.plain(broker.bootstrap), topic)
        self.topic_id = self.log.identity().topic_id
        (folder / "config" / "streams.toml").write_text(f'bootstrap = "{broker.bootstrap}"\ntopic = "{topic}"')
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
        for number in range(2 * RECORDS):
            producer.send(topic, b"{}", partition=number % 2)
        producer.flush()
        producer.close()

    def made_shards(self, topic_id: str = "", partitions: int = 2) -> None:
        write_shards(self.layout, log=Pretended(self.topic, topic_id or self.topic_id, partitions))

    def delete_records(self, partition: int, before: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        admin.delete_records({TopicPartition(self.topic, partition): before})
        admin.close()


@pytest.fixture
def running(kafka: Broker, topic_name: str, tmp_path: Path, config: Path) -> Running:
    return Running(kafka, topic_name, tmp_path, {"retention.ms": str(30 * DAY_MS)})


def test_a_topic_that_its_shards_were_made_from_is_well(running: Running) -> None:
    running.made_shards()
    told = doctor(running.layout.root, "--only", "kafka")
    heads = shards.readable_heads(running.layout, running.topic)
    behind = 2 * RECORDS - sum(head.next_offset for head in heads.values())
    assert (told.code, told.of("fault"), told.of("warning")) == (0, [], [])
    found = {what: found for _, what, found in told.of("ok")}
    assert list(found) == ["broker", f"topic {running.topic}", "identity", "retention", "lag"]
    assert found["lag"] == f"{behind} records behind the newest shards"
    assert running.topic_id in found[f"topic {running.topic}"]


def test_a_topic_of_another_id_is_a_fault(running: Running) -> None:
    other = "11111111-2222-4333-8444-555555555555"
    running.made_shards(other)
    told = doctor(running.layout.root, "--only", "kafka")
    line = told.only("fault")
    assert (told.code, line["what"]) == (2, "identity")
    assert f"were made from topic id {other} with 2 partitions, but the log now has id" in line["found"]


def test_a_topic_with_another_number_of_partitions_is_a_fault(running: Running) -> None:
    running.made_shards(partitions=3)
    told = doctor(running.layout.root, "--only", "kafka")
    assert told.code == 2
    assert "with 3 partitions, but the log now has id" in told.only("fault")["found"]


def test_a_topic_that_is_not_there_is_a_fault(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_STREAMS_TOPIC", "no-such-topic")
    monkeypatch.setenv("FRESHET_STREAMS_DEAD_LETTER_TOPIC", "neither")
    told = doctor(running.layout.root, "--only", "kafka")
    line = told.only("fault")
    assert (told.code, line["what"]) == (2, "topic no-such-topic")
    assert f"does not exist on {running.broker.bootstrap}" in line["found"]
    monkeypatch.setenv("FRESHET_STREAMS_TOPIC", running.topic)
    assert doctor(running.layout.root, "--only", "kafka").only("fault")["what"] == "topic neither"


def test_a_topic_of_other_people_that_is_not_there_is_a_fault(running: Running, config: Path) -> None:
    table = '[[source]]\ntopic = "clicks-of-theirs"\nkind = "click"\nuser = "u"\nitem = "i"\ntime = "t"\n'
    with (config / "streams.toml").open("a") as file:
        file.write("\n" + table)
    told = doctor(running.layout.root, "--only", "kafka")
    assert (told.code, told.only("fault")["what"]) == (2, "topic clicks-of-theirs")


def test_a_retention_shorter_than_a_rebuild_reads_back_is_a_warning_with_the_command(
    kafka: Broker, topic_name: str, tmp_path: Path, config: Path
) -> None:
    running = Running(kafka, topic_name, tmp_path, {"retention.ms": str(DAY_MS)})
    told = doctor(running.layout.root, "--only", "kafka")
    line = told.only("warning")
    assert (told.code, line["what"]) == (0, "retention")
    assert line["found"].startswith("records are kept for 24.0 h; a rebuild reads back 48.5 h")
    assert f"--alter --topic {topic_name} --add-config retention.ms=" in line["remedy"]


def test_a_log_that_no_longer_holds_what_a_rebuild_needs_is_a_warning_while_the_state_is_there(
    running: Running,
) -> None:
    running.made_shards()
    running.delete_records(0, 5)
    told = doctor(running.layout.root, "--only", "kafka")
    line = told.only("fault")
    assert (told.code, line["what"]) == (2, "log of partition 0")
    assert line["found"] == ("it starts at offset 5, and a rebuild needs records from 0 on: workers end with LogLost")
    assert f"freshet streams admit-lost --topic {running.topic} --partition 0 --reason WHY" in line["remedy"]
    state = running.layout.stream_state(running.topic, 0)
    state.mkdir(parents=True)
    told = doctor(running.layout.root, "--only", "kafka")
    assert told.code == 0 and f"Keep {state}" in told.only("warning")["remedy"]
    running.delete_records(0, RECORDS)
    assert doctor(running.layout.root, "--only", "kafka").code == 2


def test_a_log_that_lost_its_tail_is_a_fault(running: Running) -> None:
    running.made_shards()
    chain = shards.chain(running.layout, running.topic, 0)
    head = chain.head()
    assert head is not None
    ahead = msgspec.structs.replace(head.body, first_offset=head.body.next_offset, next_offset=RECORDS + 7)
    chain.create(chain.prepare(head, ahead, {}))
    told = doctor(running.layout.root, "--only", "kafka")
    assert told.code == 2
    assert told.only("fault")["found"].startswith(
        f"it ends at offset {RECORDS}, and the shards hold records up to {RECORDS + 7}: it lost its tail"
    )


def test_a_collection_that_milvus_does_not_hold_is_a_fault(
    milvus_server: MilvusServer, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_URI", milvus_server.uri)
    installation(tmp_path / "run")
    told = doctor(tmp_path / "run", "--only", "served")
    line = told.only("fault")
    assert (told.code, line["remedy"]) == (1, "Stage the items again: freshet publish once")
    assert line["found"].startswith(f"Milvus at {milvus_server.uri} does not hold nowhere")
    assert "it holds no nowhere" in told.only("warning")["found"]
    client = MilvusClient(milvus_server.uri)
    client.create_collection("nowhere", dimension=4)
    try:
        told = doctor(tmp_path / "run", "--only", "served")
        assert (told.code, told.of("fault"), told.of("warning")) == (0, [], [])
    finally:
        client.drop_collection("nowhere")
        client.close()


def test_a_sink_that_lacks_what_is_served_is_a_warning_until_it_follows(
    redis_server: RedisServer, tmp_path: Path, config: Path
) -> None:
    prefix = unique_name("doctor")
    (config / "publisher.toml").write_text(f'[sinks]\nredis_url = "{redis_server.url}"\nprefix = "{prefix}"')
    (config / "serving.toml").write_text(f'redis_url = "{redis_server.url}"\nredis_timeout_seconds = 2')
    installation(tmp_path / "run")
    told = doctor(tmp_path / "run", "--only", "sinks")
    assert (told.code, told.only("warning")["found"]) == (0, "it answers, and holds version 0 of 1")
    sink = RedisSink(Sinks(redis_url=SecretStr(redis_server.url), prefix=prefix))
    follow(Layout(tmp_path / "run"), sink)
    sink.close()
    told = doctor(tmp_path / "run", "--only", "sinks")
    assert [line["verdict"] for line in told.lines] == ["ok", "ok"]


def test_a_sink_in_milvus_that_lacks_what_is_served_is_a_warning_until_it_follows(
    milvus_server: MilvusServer, tmp_path: Path, config: Path
) -> None:
    prefix = unique_name("doctor")
    uri = f'milvus_uri = "{milvus_server.uri}"\n'
    (config / "publisher.toml").write_text(f'{uri}[sinks]\nmilvus = true\nprefix = "{prefix}"')
    installation(tmp_path / "run")
    told = doctor(tmp_path / "run", "--only", "sinks")
    assert (told.code, told.only("warning")["found"]) == (0, "it answers, and holds version 0 of 1")
    sink = MilvusSink(Sinks(prefix=prefix), milvus_server.uri)
    follow(Layout(tmp_path / "run"), sink)
    sink.close()
    told = doctor(tmp_path / "run", "--only", "sinks")
    assert (told.code, told.only("ok")["found"]) == (0, "it answers, and holds version 1 of 1")


def test_who_may_only_read_is_asked_no_more_than_a_worker_is_and_a_password_that_is_wrong_is_told(
    secured_kafka: SecuredBroker, topic_name: str, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_topic(secured_kafka, topic_name, 1)
    secured_kafka.grant("topic", topic_name, "read")
    secured_kafka.grant("group", "freshet-streams", "read")
    named = secured_kafka.settings("SASL_PLAINTEXT", STRANGER) | {
        "bootstrap": secured_kafka.listener("SASL_PLAINTEXT").bootstrap,
        "topic": topic_name,
    }
    for name, value in named.items():
        monkeypatch.setenv(f"FRESHET_STREAMS_{name.upper()}", value)
    told = doctor(tmp_path / "run", "--only", "kafka")
    assert (told.code, told.of("fault"), told.of("warning")) == (0, [], [])
    assert told.only("unused")["what"] == "retention" and STRANGER in told.only("unused")["found"]
    monkeypatch.setenv("FRESHET_STREAMS_SASL_PASSWORD", "wrong")
    told = doctor(tmp_path / "run", "--only", "kafka,settings")
    assert told.code == 2 and "the password is wrong" in told.only("fault")["found"]
    assert PASSWORDS[STRANGER] not in json.dumps(told.lines)
