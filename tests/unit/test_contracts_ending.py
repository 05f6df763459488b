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

# Waits in steps far shorter than the pause between signals: most of them come while a wait begins or ends.
WAITING = """
from contracts.ending import Ending
for _ in range(300):
    ending = Ending()
    print("again", flush=True)
    while not ending.wait(1e-6):
        pass
print("ended", flush=True)
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


def test_no_moment_of_a_wait_is_a_wrong_one_for_a_signal() -> None:
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "ended\n":
                break
            process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
