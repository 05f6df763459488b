from __future__ import annotations

import logging
import socket
import threading
import urllib.request
from collections.abc import Sequence

import pytest

from contracts.errors import MissingServer, UsageError
from streams import operations
from streams.access import Access
from streams.operations import operating
from streams.settings import StreamsSettings
from streams.topics import Log
from streams.vitals import Vitals

PATIENCE_S = 10.0


class FailingLog(Log):
    """A log whose broker answers with the faults in a list, one a question, and then with an end of 10."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__(Access.plain("nowhere:1"), "events")
        object.__setattr__(self, "faults", list(faults))
        object.__setattr__(self, "asked", threading.Semaphore(0))

    def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        try:
            faults: list[Exception] = self.__dict__["faults"]
            if faults:
                raise faults.pop(0)
            return dict.fromkeys(partitions, 10)
        finally:
            self.__dict__["asked"].release()

    def wait(self, questions: int) -> None:
        """Return when so many questions more have been asked."""
        for _ in range(questions):
            assert self.__dict__["asked"].acquire(timeout=PATIENCE_S)


class End:
    """Notes with what the process would have ended."""

    def __init__(self) -> None:
        self.called, self.message, self.hint = threading.Event(), "", ""

    def __call__(self, message: str, hint: str) -> None:
        if not self.called.is_set():
            self.message, self.hint = message, hint
            self.called.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "CHECK_S", 0.01)
    monkeypatch.setattr(operations, "ASK_S", 0.01)


def owning(*partitions: int) -> Vitals:
    vitals = Vitals()
    vitals.assigned(partitions)
    for partition in partitions:
        vitals.opened(partition, 0, None)
    return vitals


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_log_ends_are_asked_for_and_become_lag() -> None:
    vitals, log, end = owning(0, 4), FailingLog(), End()
    with operating(StreamsSettings.load(), vitals, log, end):
        log.wait(2)
    assert [p.lag for p in vitals.view().partitions] == [10, 10]
    assert not end.called.is_set()


def test_a_broker_that_does_not_answer_is_told_once_and_its_return_too(caplog: pytest.LogCaptureFixture) -> None:
    log, end = FailingLog(*[MissingServer("no Kafka broker at nowhere:1")] * 3), End()
    with caplog.at_level(logging.WARNING, "freshet"), operating(StreamsSettings.load(), owning(0), log, end):
        log.wait(6)
    assert [record.getMessage() for record in caplog.records] == [
        "the broker does not say where the log ends: no Kafka broker at nowhere:1",
        "the broker says again where the log ends",
    ]
    assert not end.called.is_set()


def test_an_error_that_nobody_foresaw_ends_the_process_with_its_traceback() -> None:
    end = End()
    with operating(StreamsSettings.load(), owning(0), FailingLog(KeyError("surprise")), end):
        assert end.called.wait(PATIENCE_S)
    assert "KeyError: 'surprise'" in end.message
    assert end.hint == operations.RESTART


def test_what_the_watchdog_finds_ends_the_process_with_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.watchdog.Watchdog.check", lambda self, view: "no records for 60 s")
    end = End()
    with operating(StreamsSettings.load(), owning(0), FailingLog(), end):
        assert end.called.wait(PATIENCE_S)
    assert (end.message, end.hint) == ("watchdog: no records for 60 s", operations.RESTART)


def test_there_is_no_page_unless_a_port_is_set() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with operating(StreamsSettings.load(), owning(), FailingLog(), End()):
        assert "health" not in {thread.name for thread in threading.enumerate()} - before
    port = free_port()
    with (
        operating(StreamsSettings.load(http_port=port), owning(0), FailingLog(), End()),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S) as answer,
    ):
        assert answer.status == 200


def test_an_address_that_cannot_be_had_is_refused_before_anything_runs() -> None:
    log = FailingLog()
    with (
        pytest.raises(UsageError, match="cannot listen on"),
        operating(StreamsSettings.load(http_host="192.0.2.1", http_port=9000), owning(0), log, End()),
    ):
        pass
    assert not log.__dict__["asked"].acquire(timeout=0.1)
