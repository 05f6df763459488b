"""The servers that the other integration tests stand on do what those tests take for granted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaTimeoutError
from pymilvus import DataType, MilvusClient

from infra.kafka.choose import Broker, start_broker, start_keeping
from infra.kafka.container import ContainerBroker
from infra.kafka.readiness import broker_answers
from infra.kafka.settings import MAX_RECORD_BYTES
from infra.milvus.server import MilvusServer
from streams.access import Access
from streams.produce import ensure_topic
from tests.support.servers import make_topic, unique_name

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
DIM = 8
STARTER = """
import sys
from infra.kafka.choose import start_broker
broker = start_broker(lambda _: None)
print(broker.bootstrap, flush=True)
sys.stdin.read()
"""


def produce(broker: Broker, topic: str, values: list[bytes], codec: str | None = None) -> None:
    """Write the values to topic-partition 0, each acknowledged."""
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=codec, max_request_size=MAX_RECORD_BYTES, acks="all"
    )
    for value in values:
        producer.send(topic, value=value, partition=0)
    producer.flush(timeout=30)
    producer.close()


def consume(broker: Broker, topic: str, count: int) -> list[bytes]:
    """Read `count` values of topic-partition 0 from its start; fewer if none comes for 20 s."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, consumer_timeout_ms=20_000, group_id=None)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    values: list[bytes] = []
    for record in consumer:
        values.append(record.value)
        if len(values) == count:
            break
    consumer.close()
    return values


@pytest.mark.parametrize("codec", CODECS)
def test_a_topic_in_each_codec_is_read_back_in_order(kafka: Broker, topic_name: str, codec: str | None) -> None:
    make_topic(kafka, topic_name, 1)
    values = [f"{codec} {number} ".encode() * 50 for number in range(200)]

    produce(kafka, topic_name, values, codec)

    assert consume(kafka, topic_name, len(values)) == values


def test_a_value_of_five_megabytes_goes_through(kafka: Broker, topic_name: str) -> None:
    make_topic(kafka, topic_name, 1)
    value = np.random.default_rng(5).bytes(5 * 1024 * 1024)

    produce(kafka, topic_name, [value])

    assert consume(kafka, topic_name, 1) == [value]


def test_a_topic_keeps_its_records_however_old_their_time_is(kafka: Broker, topic_name: str) -> None:
    make_topic(kafka, topic_name, 1)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)

    resource = ConfigResource(ConfigResourceType.TOPIC, topic_name)
    described = admin.describe_configs([resource], config_filter="all")["topic"][topic_name]
    admin.close()

    assert described["retention.ms"]["value"] == "-1"


def test_a_topic_that_nobody_made_is_not_made_by_a_producer(kafka: Broker, topic_name: str) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, max_block_ms=2_000)

    with pytest.raises(KafkaTimeoutError):
        producer.send(topic_name, value=b"lost").get(timeout=10)
    producer.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_broker_that_was_ended_comes_back_with_its_records(kafka: Broker, topic_name: str, end: str) -> None:
    make_topic(kafka, topic_name, 1)
    produce(kafka, topic_name, [b"before"])
    before = kafka.bootstrap

    getattr(kafka, end)()
    kafka.start()
    produce(kafka, topic_name, [b"after"])

    assert kafka.bootstrap == before
    assert consume(kafka, topic_name, 2) == [b"before", b"after"]


def test_a_broker_whose_starter_was_killed_is_gone_when_the_next_one_is_up(kafka: Broker) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    orphan = starter.stdout.readline().strip()
    assert broker_answers(orphan)
    starter.kill()
    starter.communicate()

    with start_broker(lambda _: None):
        assert not broker_answers(orphan)
    assert broker_answers(kafka.bootstrap)


def test_milvus_finds_the_vector_that_was_inserted(milvus_server: MilvusServer) -> None:
    client = MilvusClient(uri=milvus_server.uri)
    name = unique_name("vectors")
    vectors = np.random.default_rng(7).normal(size=(500, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    schema = client.create_schema(auto_id=False)
    schema.add_field("item_id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    client.create_collection(name, schema=schema)
    client.insert(name, [{"item_id": number, "vector": vector} for number, vector in enumerate(vectors)])
    client.flush(name)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 100})
    client.create_index(name, index)
    client.load_collection(name)
    (found,) = client.search(name, [vectors[42]], limit=3)
    client.close()

    truth = np.argsort(-(vectors @ vectors[42]))[:3]
    assert [hit["id"] for hit in found] == truth.tolist()


def test_two_milvus_servers_run_beside_each_other_and_share_nothing(milvus_server: MilvusServer) -> None:
    name = unique_name("first_only")
    first = MilvusClient(uri=milvus_server.uri)
    first.create_collection(name, dimension=DIM)

    with MilvusServer() as other:
        second = MilvusClient(uri=other.uri)
        assert second.list_collections() == []
        assert name in first.list_collections()
        second.close()
    first.close()


def test_a_broker_that_keeps_its_topics_has_them_when_it_is_made_anew(kafka: Broker, tmp_path: Path) -> None:
    kind: Literal["container", "local"] = "container" if isinstance(kafka, ContainerBroker) else "local"
    ids = []
    for _ in range(3):
        broker = start_keeping(kind, tmp_path / "kept", lambda sentence: None)
        try:
            ids.append(ensure_topic(Access.plain(broker.bootstrap), "kept", 2).topic_id)
        finally:
            broker.close()
    assert len(set(ids)) == 1
