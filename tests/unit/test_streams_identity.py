"""That a topic is still the same one is asked of the broker, and an answer is shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from contracts.errors import LogChanged, MissingInput, MissingServer
from streams import identity
from streams.identity import SameTopic
from streams.pipeline import Topic

TOPIC = Topic("events", "one", 4)


@pytest.mark.parametrize("now", [Topic("events", "two", 4), Topic("events", "one", 5)])
def test_another_topic_of_the_same_name_is_refused(now: Topic) -> None:
    with pytest.raises(LogChanged, match="created anew"):
        SameTopic(TOPIC, lambda: now).prove()


def test_a_topic_that_is_gone_is_refused() -> None:
    def gone() -> Topic:
        raise MissingInput("no topic")

    with pytest.raises(LogChanged, match="gone"):
        SameTopic(TOPIC, gone).prove()


def test_a_broker_that_comes_back_in_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[Topic | MissingServer] = iter([MissingServer("away"), MissingServer("away"), TOPIC])
    monkeypatch.setattr(identity, "PAUSE_S", 0.0)

    def ask() -> Topic:
        answer = next(answers)
        if isinstance(answer, MissingServer):
            raise answer
        return answer

    SameTopic(TOPIC, ask).prove()
    assert next(answers, None) is None


def test_a_broker_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Topic:
        raise MissingServer("away")

    monkeypatch.setattr(identity, "PATIENCE_S", 0.0)
    with pytest.raises(MissingServer):
        SameTopic(TOPIC, away).prove()


def test_those_who_wait_while_one_asks_share_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, asked, go_on = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    count = 0

    def clock() -> float:
        arrived.release()
        return real()

    def ask() -> Topic:
        nonlocal count
        count += 1
        asked.release()
        go_on.acquire()
        return TOPIC

    real = time.monotonic
    same = SameTopic(TOPIC, ask)
    threads = [threading.Thread(target=same.prove) for _ in range(6)]
    threads[0].start()
    asked.acquire()
    monkeypatch.setattr(time, "monotonic", clock)
    for thread in threads[1:]:
        thread.start()
        arrived.acquire()  # it has begun, and waits for the one that asks
    go_on.release(6)
    for thread in threads:
        thread.join()
    assert count == 2, "one answer for the first, and one for all that came while it asked"
