"""A signal ends a command that waits, whenever it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.ending import Ending

REPOSITORY = Path(__file__).parents[2]
NUMBERS = (signal.SIGTERM, signal.SIGINT)
LONG = 60.0

# Sends a signal at the first line of a wait, in another wait at the second line, and so on, whoever's lines they are.
EVERY_LINE = """
import signal, sys
from contracts.ending import Ending

def wait_with_a_signal_at(line):
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == line:
                signal.raise_signal(signal.SIGTERM)
        return trace
    ending = Ending()
    sys.settrace(trace)
    try:
        ending.wait(0.001)
    finally:
        sys.settrace(None)
    return seen >= line and ending.is_set()

line = 1
while wait_with_a_signal_at(line):
    line += 1
print(line - 1)
"""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_during_a_wait_ends_it_at_once_and_is_told(number: signal.Signals) -> None:
    told: list[str] = []
    ending = Ending(lambda: told.append("told"))
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
    began = time.monotonic()
    assert ending.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    assert ending.is_set()
    assert told == ["told"]


def test_a_signal_before_a_wait_is_not_missed() -> None:
    ending = Ending()
    assert not ending.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    assert ending.wait(LONG)


def test_a_wait_without_a_signal_ends_by_itself() -> None:
    assert not Ending().wait(0.01)


def test_no_line_of_a_wait_is_a_wrong_moment_for_a_signal() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EVERY_LINE], capture_output=True, text=True, cwd=REPOSITORY, timeout=LONG, check=True
    )
    assert int(ended.stdout) >= 3
