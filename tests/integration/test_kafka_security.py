"""Brokers that demand TLS, passwords, certificates and rights: who gets in, and what those are told who do not."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import AccessRefused, FreshetError, MissingServer
from contracts.events import Click, Tick, encode
from contracts.layout import Layout
from infra.kafka.demands import Protocol
from streams.access import Access
from streams.log import LogRecord, partitioned
from streams.produce import Producer, ensure_topic, held
from streams.records import Topic
from streams.topics import Log
from tests.support.answering import answering
from tests.support.certificates import Authority
from tests.support.secured import MASTER, PASSWORDS, STRANGER, SecuredBroker
from tests.support.servers import make_topic, unique_name
from tests.support.workers import REPOSITORY, Worker, wait_for, watermarks

START = 1_507_000_000_000
RECORDS = [
    record
    for number in range(500)
    for record in partitioned(
        [Click(f"u{number % 40}", f"i{number % 9}", START + number * 900, START + number * 900)], 2
    )
]
LAST = max(record.ingest_time for record in RECORDS)
WAYS: dict[str, tuple[Protocol, dict[str, str]]] = {
    "password over PLAIN": ("SASL_PLAINTEXT", {"sasl_mechanism": "PLAIN"}),
    "SCRAM-SHA-256": ("SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-256"}),
    "SCRAM-SHA-512 over TLS": ("SASL_SSL", {}),
    "mutual TLS": ("SSL", {}),
}


def without_secrets(text: str) -> bool:
    return not any(password in text for password in PASSWORDS.values())


def freshet(secured: SecuredBroker, settings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with settings in the environment, as a person does."""
    variables = {f"FRESHET_STREAMS_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, str(REPOSITORY / "freshet.py"), *words]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client library that gives up after a second: the reason is asked for afterwards all the same."""
    monkeypatch.setattr("streams.access.BOOTSTRAP_TIMEOUT_MS", 1_000)


@pytest.mark.parametrize("way", WAYS)
def test_produce_and_worker_get_in_and_the_shards_are_made(
    secured_kafka: SecuredBroker, topic_name: str, tmp_path: Path, way: str
) -> None:
    protocol, others = WAYS[way]
    settings = secured_kafka.settings(protocol) | others
    words = ["--bootstrap", secured_kafka.listener(protocol).bootstrap, "--topic", topic_name]
    data = tmp_path / "log.csv"
    data.write_text("user,item,time\n" + "".join(f"u{n % 7},i{n % 5},{START + n * 1000}\n" for n in range(200)))
    produced = freshet(
        secured_kafka, settings, "produce", "--data", str(data), "--columns", "user=user,item=item,time=time",
        "--time-unit", "ms", "--partitions", "2", *words,
    )  # fmt: skip
    assert produced.returncode == 0, produced.stderr
    layout = Layout(tmp_path / "run")
    listener = secured_kafka.listener(protocol)
    with Worker(listener, topic_name, layout, group=unique_name("g"), log_level="debug", **settings) as worker:
        wait_for(lambda: min(watermarks(layout, topic_name, 2)) >= START + 199_000, [worker])
    assert without_secrets(worker.log.read_text() + produced.stdout + produced.stderr)


def test_a_worker_goes_on_by_itself_when_a_broker_that_asks_for_passwords_comes_back(
    secured_kafka: SecuredBroker, topic_name: str, tmp_path: Path
) -> None:
    access, layout = secured_kafka.access("SASL_SSL"), Layout(tmp_path / "run")
    ensure_topic(access, topic_name, 2)
    half = len(RECORDS) // 2
    with Producer(access, topic_name) as producer:
        producer.send(RECORDS[:half])
    settings = secured_kafka.settings("SASL_SSL") | {"rotate_seconds": "1"}
    with Worker(secured_kafka.listener("SASL_SSL"), topic_name, layout, group=unique_name("g"), **settings) as worker:
        wait_for(lambda: min(watermarks(layout, topic_name, 2)) > START, [worker])
        secured_kafka.kill()
        secured_kafka.start()
        with Producer(access, topic_name) as producer:
            producer.send([*RECORDS[half:], *ticks_after(LAST)])
        wait_for(lambda: min(watermarks(layout, topic_name, 2)) >= LAST, [worker])
    assert without_secrets(worker.log.read_text())


REFUSALS: dict[str, tuple[Callable[[SecuredBroker, Path], Access], str, str]] = {
    "wrong password": (
        lambda secured, _: secured.access("SASL_SSL", sasl_password="guessed"),
        "password is wrong",
        "sasl_password_file",
    ),
    "wrong password over PLAIN": (
        lambda secured, _: secured.access("SASL_PLAINTEXT", sasl_password="guessed", sasl_mechanism="PLAIN"),
        "password is wrong",
        "FRESHET_STREAMS_SASL_PASSWORD",
    ),
    "unknown user": (
        lambda secured, _: secured.access("SASL_SSL", sasl_username="nobody"),
        "no user 'nobody' for SCRAM-SHA-512",
        "sasl_username",
    ),
    "wrong mechanism": (
        lambda secured, _: secured.access("SASL_SSL", sasl_mechanism="PLAIN"),
        "offers SCRAM-SHA-256, SCRAM-SHA-512 and not PLAIN",
        "sasl_mechanism",
    ),
    "no login where one is asked for": (
        lambda secured, _: Access.plain(secured.demands.address("SASL_PLAINTEXT")),
        "asks for a login (it offers PLAIN",
        "SASL_PLAINTEXT, sasl_mechanism",
    ),
    "no TLS where it is spoken": (
        lambda secured, _: Access.plain(secured.demands.address("SASL_SSL")),
        "it speaks TLS",
        "security_protocol to SASL_SSL",
    ),
    "a password without TLS where it is spoken": (
        lambda secured, _: secured.access("SASL_PLAINTEXT", bootstrap=secured.demands.address("SASL_SSL")),
        "it speaks TLS",
        "security_protocol to SASL_SSL",
    ),
    "a login where none is asked for": (
        lambda secured, _: secured.access("SASL_PLAINTEXT", bootstrap=secured.bootstrap),
        "asks for no login",
        "security_protocol to PLAINTEXT",
    ),
    "TLS where it is not spoken": (
        lambda secured, _: secured.access("SASL_SSL", bootstrap=secured.demands.address("SASL_PLAINTEXT")),
        "speaks without TLS",
        "TLS port",
    ),
    "another CA": (
        lambda secured, folder: secured.access("SASL_SSL", tls_ca_file=str(Authority(folder).certificate)),
        "not signed by the CA in tls_ca_file",
        "Set tls_ca_file",
    ),
    "no CA": (
        lambda secured, _: secured.access("SASL_SSL", tls_ca_file=""),
        "not signed by a CA that this system trusts",
        "Set tls_ca_file",
    ),
    "another host name": (
        lambda secured, _: secured.access("SASL_SSL", bootstrap=f"localhost:{secured.demands.ports['SASL_SSL']}"),
        "its certificate is not for 'localhost'",
        "bootstrap",
    ),
    "no certificate of ours": (
        lambda secured, _: secured.access("SSL", tls_certificate_file="", tls_key_file=""),
        "asks for a certificate of ours",
        "tls_key_file",
    ),
    "a certificate of another CA": (
        lambda secured, folder: secured.access("SSL", **foreign_identity(folder)),
        "does not accept the certificate in",
        "signed by the CA that the broker trusts",
    ),
}


def foreign_identity(folder: Path) -> dict[str, str]:
    certificate, key = Authority(folder, "elsewhere").identity(MASTER)
    return {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}


def ticks_after(time: int) -> list[LogRecord]:
    return [LogRecord(partition, None, encode(Tick(time + 3_600_000)), time) for partition in range(2)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_broker_refuses_is_told_in_a_sentence_that_names_the_setting(
    secured_kafka: SecuredBroker, tmp_path: Path, case: str
) -> None:
    way_in, sentence, hint = REFUSALS[case]
    with pytest.raises(AccessRefused, match=re.escape(sentence)) as refused:
        Log(way_in(secured_kafka, tmp_path), "events").identity()
    assert hint in refused.value.hint and refused.value.exit_code == 2
    assert without_secrets(str(refused.value) + refused.value.hint) and "guessed" not in str(refused.value)


@pytest.mark.parametrize("command", ["worker", "produce"])
def test_a_command_with_a_wrong_password_ends_with_code_2_and_one_sentence(
    secured_kafka: SecuredBroker, tmp_path: Path, command: str
) -> None:
    settings = secured_kafka.settings("SASL_SSL") | {"sasl_password": "gues-sed-4711", "log_level": "debug"}
    words = ["--bootstrap", secured_kafka.listener("SASL_SSL").bootstrap, "--topic", "events"]
    words = ["streams", "worker", "--root", str(tmp_path), *words] if command == "worker" else ["produce", *words]
    ended = freshet(secured_kafka, settings, *words)
    assert ended.returncode == 2 and "the password is wrong" in ended.stderr
    assert "Traceback" not in ended.stderr and "gues-sed" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_client_libraries_that_tell_everything_do_not_tell_the_password(
    secured_kafka: SecuredBroker, topic_name: str, caplog: pytest.LogCaptureFixture, mechanism: str
) -> None:
    access = secured_kafka.access("SASL_PLAINTEXT", sasl_mechanism=mechanism)
    with caplog.at_level(logging.DEBUG):
        topic = ensure_topic(access, topic_name, 2)
        with Producer(access, topic_name) as producer:
            producer.send(RECORDS)
        held(access, topic)
    assert "KafkaAdminClient with configuration" in caplog.text and without_secrets(caplog.text)


def test_a_topic_that_we_may_not_see_is_told_from_one_that_does_not_exist(
    secured_kafka: SecuredBroker, topic_name: str
) -> None:
    make_topic(secured_kafka, topic_name, 1)
    stranger = secured_kafka.access("SASL_SSL", STRANGER)
    with pytest.raises(AccessRefused, match=f"user 'stranger' may not look at topic '{topic_name}'"):
        Log(stranger, topic_name).identity()
    with pytest.raises(AccessRefused, match="may not look at topic"):
        ensure_topic(stranger, topic_name)
    secured_kafka.grant("topic", topic_name, "describe")
    assert Log(stranger, topic_name).identity() == ensure_topic(stranger, topic_name)


def test_a_right_to_read_or_write_that_is_missing_is_told_by_name(
    secured_kafka: SecuredBroker, topic_name: str
) -> None:
    make_topic(secured_kafka, topic_name, 2)
    secured_kafka.grant("topic", topic_name, "describe")
    stranger, master = secured_kafka.access("SASL_SSL", STRANGER), secured_kafka.access("SASL_SSL")
    topic = Topic(topic_name, ensure_topic(master, topic_name).topic_id, 2)
    with Producer(master, topic_name) as producer:
        producer.send(RECORDS)
    with pytest.raises(AccessRefused, match="may not read topic"):
        held(stranger, topic)
    with pytest.raises(AccessRefused, match="may not read topic"):
        Log(stranger, topic_name).next_available(0, 0)
    with pytest.raises(AccessRefused, match="may not write to topic"), Producer(stranger, topic_name) as producer:
        producer.send(RECORDS)
    secured_kafka.grant("topic", topic_name, "read", "write")
    assert held(stranger, topic).next_offsets == held(master, topic).next_offsets
    with Producer(stranger, topic_name) as producer:
        assert producer.send(RECORDS) == len(RECORDS)


def test_a_worker_without_the_right_to_its_group_ends_with_a_sentence(
    secured_kafka: SecuredBroker, topic_name: str, tmp_path: Path
) -> None:
    make_topic(secured_kafka, topic_name, 2)
    secured_kafka.grant("topic", topic_name, "read")
    settings, group = secured_kafka.settings("SASL_SSL", STRANGER), unique_name("g")
    listener, layout = secured_kafka.listener("SASL_SSL"), Layout(tmp_path / "run")
    with Worker(listener, topic_name, layout, group=group, **settings) as worker:
        assert worker.ended() == 2
    assert f"may not join group '{group}'" in worker.log.read_text()
    secured_kafka.grant("group", group, "read")
    with Producer(secured_kafka.access("SASL_SSL"), topic_name) as producer:
        producer.send([*RECORDS, *ticks_after(LAST)])
    with Worker(listener, topic_name, layout, group=group, **settings) as worker:
        wait_for(lambda: min(watermarks(layout, topic_name, 2)) >= LAST, [worker])


@pytest.mark.usefixtures("quick")
def test_what_is_no_kafka_broker_is_told_so(secured_kafka: SecuredBroker) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with answering(answer) as address, pytest.raises(FreshetError, match="no Kafka broker") as refused:
        Log(Access.plain(address), "events").identity()
    assert refused.value.exit_code == 2


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("address", "reason"), [("127.0.0.1:9", "nothing answers"), ("no.invalid:9092", "not known")])
def test_an_address_without_a_broker_is_told_so(address: str, reason: str) -> None:
    with pytest.raises(MissingServer, match=reason):
        Log(Access.plain(address), "events").identity()
