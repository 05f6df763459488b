"""Rounds: ours and the peers take turns in one run, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from benchmarks.figures import amount

Say = Callable[[str], None]
Thing = TypeVar("Thing")
SAY_EVERY_S = 15.0


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int, say: Say) -> dict[str, list[float]]:
    """Measure every side once a round, in the order given (A B A B ...); return what each measured, by name."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    progress = Progress(rounds)
    for number in range(1, rounds + 1):
        for name, measure in sides.items():
            value = measure()
            found[name].append(value)
            say(f"round {number} of {rounds}: {name} {amount(value)}")
        if number < rounds:
            say(f"  {progress.at(number)}")
    return found


def told(things: Iterable[Thing], total: int, what: str, say: Say) -> Iterator[Thing]:
    """Yield `things`, of which there are about `total`; say every `SAY_EVERY_S` seconds how far it is."""
    progress, last = Progress(total), time.monotonic()
    for number, thing in enumerate(things):
        if number % 4096 == 0 and time.monotonic() - last >= SAY_EVERY_S:
            last = time.monotonic()
            say(f"  {what}: {number:,} of {total:,}; {progress.at(number)}")
        yield thing


class Progress:
    """How long something has taken, and at its pace so far will take."""

    def __init__(self, total: int) -> None:
        self._total, self._started = total, time.monotonic()

    def at(self, done: int) -> str:
        """Say it in words, with `done` of the total behind us."""
        passed = time.monotonic() - self._started
        left = passed / done * max(self._total - done, 0) if done else 0.0
        return f"{_minutes(passed)} so far, about {_minutes(left)} to go"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
