"""`freshet streams attach` where the broker demands passwords and rights."""

from __future__ import annotations

import time

import msgspec
import pytest
from kafka import KafkaProducer

from contracts.errors import AccessRefused
from streams.access import Access
from streams.attach.clients import Target
from streams.attach.intake import Intake
from streams.attach.rekey import Rekeyer
from streams.attach.settings import ClickSource
from streams.produce import ensure_topic
from streams.records import Topic
from tests.support.secured import STRANGER, SecuredBroker
from tests.support.servers import unique_name
from tests.support.workers import wait_for

CLICKS = 100


class Secured:
    """A source topic with clicks in it, and a topic for the events, on a broker that demands passwords."""

    def __init__(self, broker: SecuredBroker) -> None:
        self.access = broker.access("SASL_SSL")
        self.source, self.group = unique_name("source"), unique_name("attach")
        ensure_topic(self.access, self.source, 2)
        self.events: Topic = ensure_topic(self.access, unique_name("events"), 2)
        producer, now = KafkaProducer(**self.access.client()), time.time_ns() // 1_000_000
        for number in range(CLICKS):
            producer.send(self.source, msgspec.json.encode({"u": f"u{number}", "i": number, "t": now}))
        producer.flush()
        producer.close()

    def rekeyer(self, access: Access) -> Rekeyer:
        clicks = ClickSource(topic=self.source, kind="click", user="u", item="i", time="t")
        return Rekeyer(access, Intake([clicks]), Target(self.events, None, self.group, "one", 1, 100))


@pytest.fixture
def secured(secured_kafka: SecuredBroker) -> Secured:
    return Secured(secured_kafka)


def test_topics_are_attached_over_tls_with_a_password(secured: Secured) -> None:
    rekeyer = secured.rekeyer(secured.access)
    try:
        rekeyer.begin()

        def moved() -> bool:
            rekeyer.step()
            return rekeyer.counts["events"] == CLICKS

        wait_for(moved, what="all events")
    finally:
        rekeyer.close()


def test_who_may_not_write_by_transactions_is_told_so(secured: Secured, secured_kafka: SecuredBroker) -> None:
    secured_kafka.grant("topic", secured.source, "read", "describe")
    with pytest.raises(AccessRefused, match=f"may not write by transactions as {secured.group}-one"):
        secured.rekeyer(secured_kafka.access("SASL_SSL", STRANGER))
