"""Brokers that are none, or bad ones: whatever they answer, a person gets one sentence, soon."""

from __future__ import annotations

import socket
import struct

import pytest
from aiokafka.errors import GroupAuthorizationFailedError
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from contracts.errors import AccessRefused, MissingServer, OperatorError
from streams.access import Access, SecurityProtocol
from streams.refusals import lacks_right, no_broker
from tests.support.answering import answering

VERSIONS = struct.pack(">iih", 6, 18, 0)


def told(address: str) -> OperatorError:
    return no_broker(Access.plain(address), KafkaTimeoutError())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        struct.pack(">i", 2**31 - 1),
        struct.pack(">i", -1),
        struct.pack(">ii", 4, 99),
        b"\x15\x03\x03\x00\x02\x02\x28",
    ],
    ids=["another protocol", "2 GiB", "negative length", "another request's answer", "a TLS alert"],
)
def test_what_does_not_answer_as_kafka_does_is_no_broker(answer: bytes) -> None:
    with answering(answer) as address:
        refusal = told(address)
    assert isinstance(refusal, AccessRefused) and "it is no Kafka broker" in str(refusal)
    assert "port" in refusal.hint


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
@pytest.mark.parametrize("answers", [(), (b"\x00",)], ids=["nothing", "a part"])
def test_what_takes_connections_and_drops_them_is_a_broker_that_is_away(
    answers: tuple[bytes, ...], protocol: SecurityProtocol
) -> None:
    with answering(*answers) as address:
        refusal = no_broker(Access(address, protocol), KafkaTimeoutError())
    assert isinstance(refusal, MissingServer) and "the connection is dropped" in str(refusal)
    assert "address" in refusal.hint


def test_what_takes_connections_and_never_answers_is_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.knock.TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusal = told(f"127.0.0.1:{server.getsockname()[1]}")
    assert isinstance(refusal, MissingServer) and "timed out" in str(refusal)


def test_a_login_that_is_dropped_is_a_broker_that_is_away() -> None:
    with answering(VERSIONS) as address:
        refusal = told(address)
    assert isinstance(refusal, MissingServer) and "the connection is dropped" in str(refusal)


@pytest.mark.parametrize(
    "login",
    [b"", struct.pack(">h", 0), struct.pack(">hi", 0, 2**31 - 1), struct.pack(">hihs", 0, 1, 1, b"\xff")],
    ids=["nothing", "no mechanisms", "too many mechanisms", "no text"],
)
def test_rubbish_about_mechanisms_ends_the_login_by_name(login: bytes) -> None:
    with answering(VERSIONS, struct.pack(">ii", 4 + len(login), 17) + login) as address:
        refusal = told(address)
    assert isinstance(refusal, AccessRefused) and "it ends the login: its answer is not Kafka's" in str(refusal)


def test_the_mechanisms_that_a_broker_offers_are_named() -> None:
    offer = struct.pack(">hih5s", 33, 1, 5, b"PLAIN")
    with answering(VERSIONS, struct.pack(">ii", 4 + len(offer), 17) + offer) as address:
        refusal = told(address)
    assert "asks for a login (it offers PLAIN)" in str(refusal) and "SASL_PLAINTEXT" in refusal.hint


def test_a_broker_that_answers_by_now_is_said_to() -> None:
    no_login = struct.pack(">hi", 34, 0)
    with answering(VERSIONS, struct.pack(">ii", 4 + len(no_login), 17) + no_login) as address:
        refusal = told(address)
    assert isinstance(refusal, MissingServer) and "did not answer in time, and answers now" in str(refusal)


def test_of_several_brokers_the_one_that_says_why_is_heard() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        assert "no Kafka broker (" in str(told(f"127.0.0.1:9,{address}"))


@pytest.mark.parametrize("address", ["broker", "broker:", ":9092", "broker:port"])
def test_what_is_no_address_is_told_with_how_to_say_one(address: str) -> None:
    refusal = told(address)
    assert isinstance(refusal, MissingServer) and "--bootstrap" in refusal.hint


def test_a_missing_right_is_told_whichever_client_library_says_so() -> None:
    assert lacks_right(TopicAuthorizationFailedError()) and lacks_right(GroupAuthorizationFailedError())
    assert lacks_right(KafkaError("InitProducerIdResponse: [Error 31] ClusterAuthorizationFailedError"))
    assert not lacks_right(KafkaTimeoutError()) and not lacks_right(OSError(29, "Illegal seek"))
