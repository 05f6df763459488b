"""What a broker's log holds of gaps: aborted records and markers are crossed, and an open transaction is the end."""

from __future__ import annotations

from kafka import KafkaProducer

from infra.kafka.choose import Broker
from streams.access import Access
from streams.topics import Log
from tests.support.servers import make_topic


def test_aborted_records_and_markers_are_no_records_and_the_next_one_is_found_behind_them(
    kafka: Broker, topic_name: str
) -> None:
    log = Log(Access(kafka.bootstrap), make_topic(kafka, topic_name, 1))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic_name, acks="all")
    producer.init_transactions()
    for aborted in [True] * 5 + [False] + [True] * 5:
        producer.begin_transaction()
        for _ in range(20):
            producer.send(topic_name, b"x" * 10_000, partition=0)
        producer.flush()
        producer.abort_transaction() if aborted else producer.commit_transaction()
    committed, end = 5 * 21, 11 * 21  # each transaction's last offset is its marker
    assert log.next_available(0, 0) == committed
    assert log.next_available(0, committed + 19) == committed + 19
    assert log.next_available(0, committed + 20) == end
    producer.begin_transaction()
    producer.send(topic_name, b"open", partition=0)
    producer.flush()
    try:
        assert log.next_available(0, committed + 20) == end
    finally:
        producer.abort_transaction()
        producer.close()
