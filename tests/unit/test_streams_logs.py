from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streams.logs import LogFormat, LogLevel, set_up

SetUp = Callable[..., io.StringIO]


@pytest.fixture
def logged() -> Iterator[SetUp]:
    """Set logging up on a stream; put everything back after the test."""
    root, ours = logging.getLogger(), logging.getLogger("freshet")
    before = root.handlers[:], root.level, ours.level

    def start(log_format: LogFormat, level: LogLevel = "info") -> io.StringIO:
        stream = io.StringIO()
        set_up(log_format, level, {"worker": "w-1", "topic": "events"}, stream)
        return stream

    yield start
    logging.captureWarnings(False)
    root.handlers[:], ours.level = before[0], before[2]
    root.setLevel(before[1])


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    raise ValueError("first\nsecond")


def test_a_json_line_has_time_level_logger_message_worker_and_facts(logged: SetUp) -> None:
    stream = logged("json")
    logging.getLogger("freshet.streams").info("opened at %d", 7, extra={"facts": {"partition": 3}})
    (line,) = json_lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "freshet.streams",
        "message": "opened at 7",
        "worker": "w-1",
        "topic": "events",
        "partition": 3,
    }


def test_an_exception_is_one_json_line(logged: SetUp) -> None:
    stream = logged("json")
    try:
        fail()
    except ValueError:
        logging.getLogger("freshet.streams").exception("failed", extra={"hint": "do this"})
    (line,) = json_lines(stream)
    assert "ValueError: first\nsecond" in line["exception"]
    assert line["hint"] == "do this"


def test_values_that_json_does_not_know_are_written_as_text(logged: SetUp) -> None:
    stream = logged("json")
    logging.getLogger("freshet").warning("x", extra={"facts": {"at": object, "undecodable": "\udc80"}})
    (line,) = json_lines(stream)
    assert (line["at"], line["undecodable"]) == ("<class 'object'>", "\\udc80")


def test_a_text_line_is_time_level_message_facts_with_hint_and_traceback_below(logged: SetUp) -> None:
    stream = logged("text")
    try:
        fail()
    except ValueError:
        logging.getLogger("freshet.streams").exception(
            "partition lost", extra={"facts": {"partition": 3}, "hint": "Look there."}
        )
    first, second, *rest = stream.getvalue().splitlines()
    assert first[19:] == " error   partition lost partition=3"
    assert second == "  Look there."
    assert all(line.startswith("  ") for line in rest)


def test_a_line_break_or_escape_in_a_message_makes_no_second_event(logged: SetUp) -> None:
    stream = logged("text")
    forged = "a\n2026-01-01 00:00:00 error   forged \x1b[2J\r\u2028\x9bx"
    logging.getLogger("aiokafka").error(forged, extra={"facts": {"at": "b\n2026-01-01"}})
    first, second = stream.getvalue().splitlines()
    assert first.endswith("aiokafka: a at=b\\n2026-01-01")
    assert second == "  2026-01-01 00:00:00 error   forged \\x1b[2J\\r\\u2028\\x9bx"


def test_libraries_are_in_the_same_format_from_warnings_on_only(logged: SetUp) -> None:
    stream = logged("json", "debug")
    logging.getLogger("kafka.conn").setLevel(logging.INFO)  # whoever does so makes it no louder
    for name in ("faust.worker", "aiokafka.consumer", "kafka.conn", "mode"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).error("trouble")
    logging.getLogger("freshet.streams").debug("detail")
    assert [(line["logger"], line["message"]) for line in json_lines(stream)] == [
        ("faust.worker", "trouble"),
        ("aiokafka.consumer", "trouble"),
        ("kafka.conn", "trouble"),
        ("mode", "trouble"),
        ("freshet.streams", "detail"),
    ]


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_where_our_own_events_begin(logged: SetUp, level: str, count: int) -> None:
    stream = logged("text", level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("freshet.streams").log(number, "x")
    assert len(stream.getvalue().splitlines()) == count


def test_warnings_of_python_are_events_too(logged: SetUp) -> None:
    stream = logged("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert json_lines(stream)[0]["logger"] == "py.warnings"
