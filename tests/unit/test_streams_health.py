from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from contracts.errors import UsageError
from contracts.pages import MAX_CONNECTIONS, serving
from streams.health import RECOVERY_LIMIT_S, Pages
from streams.metrics import registry
from streams.operations import PORT
from streams.vitals import Vitals
from tests.unit.test_streams_vitals import Clock, shard


class Worker:
    """A worker's health page on a free port, with a clock that stands and a sentence of the watchdog at will."""

    def __init__(self) -> None:
        self.clock, self.sentence = Clock(), ""
        self.vitals = Vitals(self.clock)
        self.pages = Pages(registry("t", self.vitals), lambda: (self.vitals.view(), self.sentence))
        self.port = 0

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def send(self, data: bytes) -> bytes:
        """Send bytes as they are, close the sending end, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(4096), b""))
            except TimeoutError:
                raise
            except OSError:  # it has hung up before all was sent
                return b""


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    with serving(("127.0.0.1", 0), made.pages.answer, PORT) as made.port:
        yield made


def test_metrics_are_answered_as_prometheus_reads_them(worker: Worker) -> None:
    worker.vitals.assigned({3})
    worker.vitals.committed(3, shard(3), 0.1)
    status, text = worker.get("/metrics?x=1")
    assert status == 200
    assert 'freshet_streams_watermark_timestamp_seconds{partition="3",topic="t"} 9.0' in text


def test_a_healthy_worker_answers_200_with_its_partitions(worker: Worker) -> None:
    worker.vitals.assigned({3})
    worker.vitals.opened(3, 10, shard(3))
    worker.vitals.log_end(3, 25)
    worker.clock.at += 7
    status, text = worker.get("/healthz")
    known = {"partition": 3, "state": "open", "lag": 15, "next_offset": 10, "watermark": 9000}
    assert (status, json.loads(text)) == (
        200,
        {"healthy": True, "reason": "", "stopping": False, "partitions": [known | {"seconds_since_records": 7.0}]},
    )


def test_what_the_watchdog_finds_is_503_with_its_sentence(worker: Worker) -> None:
    worker.sentence = "partition 0: no records for 61 s"
    status, text = worker.get("/healthz")
    assert (status, json.loads(text)["reason"]) == (503, worker.sentence)


def test_a_recovery_that_does_not_end_is_503(worker: Worker) -> None:
    worker.vitals.assigned({5})
    worker.clock.at += RECOVERY_LIMIT_S - 1
    assert worker.get("/healthz")[0] == 200
    worker.clock.at += 1
    status, text = worker.get("/healthz")
    assert (status, json.loads(text)["reason"]) == (503, "partition 5: its recovery has not ended for 600 s")


def test_a_worker_is_ready_from_its_last_recovered_partition_until_it_stops(worker: Worker) -> None:
    answers = [worker.get("/readyz")]
    worker.vitals.assigned({0, 1})
    worker.vitals.opened(0, 0, None)
    answers.append(worker.get("/readyz"))
    worker.vitals.opened(1, 0, None)
    answers.append(worker.get("/readyz"))
    worker.vitals.stopping()
    answers.append(worker.get("/readyz"))
    assert [(status, json.loads(text)["reason"]) for status, text in answers] == [
        (503, "the consumer group has not dealt partitions yet"),
        (503, "recovering partitions 1"),
        (200, ""),
        (503, "the worker is stopping"),
    ]


def test_a_worker_that_was_dealt_no_partition_is_ready_and_healthy(worker: Worker) -> None:
    worker.vitals.assigned(())
    assert [worker.get(path)[0] for path in ("/readyz", "/healthz")] == [200, 200]


def test_other_paths_are_404_and_do_not_come_back(worker: Worker) -> None:
    assert worker.get("/../../etc/passwd<script>") == (404, "/metrics /healthz /readyz\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "<script>"])
def test_other_methods_are_405_and_do_not_come_back(worker: Worker, method: str) -> None:
    answer = worker.send(f"{method} /metrics HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"Allow: GET\r\n" in answer
    assert method.encode() not in answer.replace(b"Method Not Allowed", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5_000,
        b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 1_000,
        b"\r\n\r\n",
        b"",
    ],
    ids=["many headers", "long header", "long path", "version", "bytes", "short", "tls", "zeros", "empty line", "none"],
)
def test_rubbish_is_refused_and_the_next_request_is_answered(worker: Worker, data: bytes) -> None:
    answer = worker.send(data)
    assert not answer or 400 <= int(answer.removeprefix(b"HTTP/1.0 ").split()[0]) <= 505
    assert worker.get("/metrics")[0] == 200


def test_clients_that_say_nothing_are_hung_up_on_and_others_are_answered_again(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.pages.TIMEOUT_S", 0.3)
    silent = [socket.create_connection(("127.0.0.1", worker.port), timeout=10) for _ in range(MAX_CONNECTIONS + 4)]
    try:
        for number, connection in enumerate(silent):
            if number % 2:
                connection.sendall(b"GET /metr")
        assert [connection.recv(1) for connection in silent] == [b""] * len(silent)
        assert answered_within(worker, 5.0)
    finally:
        for connection in silent:
            connection.close()


def test_a_client_that_drips_bytes_is_hung_up_on(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.pages.TIMEOUT_S", 0.3)
    done = threading.Event()
    with socket.create_connection(("127.0.0.1", worker.port), timeout=0.02) as connection:

        def drip() -> bytes:
            while not done.is_set():
                try:
                    connection.sendall(b"G")
                    return connection.recv(1)
                except TimeoutError:
                    continue
                except ConnectionError:
                    return b""
            return b"never"

        watch = threading.Timer(5.0, done.set)
        watch.start()
        assert drip() == b""
        watch.cancel()


def answered_within(worker: Worker, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return worker.get("/metrics")[0] == 200
        except OSError:  # all connections were taken
            continue
    return False


def test_a_port_in_use_is_a_sentence_that_names_the_setting(worker: Worker) -> None:
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{worker.port}: ") as caught:
        serving(("127.0.0.1", worker.port), worker.pages.answer, PORT).__enter__()
    assert "http_port" in caught.value.hint
    assert caught.value.exit_code == 2


def test_an_address_that_is_not_of_this_machine_is_a_sentence(worker: Worker) -> None:
    with pytest.raises(UsageError, match="cannot listen on 192"):
        serving(("192.0.2.1", 9000), worker.pages.answer, PORT).__enter__()


def test_the_port_is_free_again_when_the_block_ends() -> None:
    worker = Worker()
    with serving(("127.0.0.1", 0), worker.pages.answer, PORT) as port:
        pass
    with serving(("127.0.0.1", port), worker.pages.answer, PORT) as again:
        assert again == port
