"""That a topic is still the same one is asked of the broker, and an answer is shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from contracts.errors import LogChanged, MissingInput, MissingServer
from streams import identity
from streams.identity import SameTopic
from streams.records import Topic

TOPIC = Topic("events", "one", 4)


@pytest.mark.parametrize("now", [Topic("events", "two", 4), Topic("events", "one", 5)])
def test_another_topic_of_the_same_name_is_refused(now: Topic) -> None:
    with pytest.raises(LogChanged, match="created anew"):
        SameTopic(TOPIC, lambda: now).prove(time.monotonic())


def test_a_topic_that_is_gone_is_refused() -> None:
    def gone() -> Topic:
        raise MissingInput("no topic")

    with pytest.raises(LogChanged, match="gone"):
        SameTopic(TOPIC, gone).prove(time.monotonic())


def test_a_broker_that_comes_back_in_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[Topic | MissingServer] = iter([MissingServer("away"), MissingServer("away"), TOPIC])
    monkeypatch.setattr(identity, "PAUSE_S", 0.0)

    def ask() -> Topic:
        answer = next(answers)
        if isinstance(answer, MissingServer):
            raise answer
        return answer

    SameTopic(TOPIC, ask).prove(time.monotonic())
    assert next(answers, None) is None


def test_a_broker_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Topic:
        raise MissingServer("away")

    monkeypatch.setattr(identity, "PATIENCE_S", 0.0)
    with pytest.raises(MissingServer):
        SameTopic(TOPIC, away).prove(time.monotonic())


def test_one_answer_does_for_all_records_that_were_there_when_it_was_asked_for() -> None:
    asked = list[float]()

    def ask() -> Topic:
        asked.append(time.monotonic())
        return TOPIC

    same, before = SameTopic(TOPIC, ask), time.monotonic()
    same.prove(before)
    same.prove(before)
    assert len(asked) == 1
    same.prove(time.monotonic())
    assert len(asked) == 2
    same.prove(before)
    assert len(asked) == 2


def test_an_answer_under_way_does_not_do_for_records_that_came_after_the_question() -> None:
    asked, go_on, found = threading.Semaphore(0), threading.Semaphore(0), list[Topic]()

    def ask() -> Topic:
        asked.release()
        go_on.acquire()
        found.append(TOPIC)
        return TOPIC

    same = SameTopic(TOPIC, ask)
    first = threading.Thread(target=same.prove, args=(time.monotonic(),))
    first.start()
    asked.acquire()
    later = threading.Thread(target=same.prove, args=(time.monotonic(),))
    later.start()
    go_on.release(2)
    first.join()
    later.join()
    assert len(found) == 2
