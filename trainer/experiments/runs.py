"""Runs of an experiment, made one after the other until all are made or the time is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from contracts.arrays import Floats
from trainer.evaluation.judge import Judged


class Found(NamedTuple):
    """How an arm did on the judged day; `truth`: float32 [n], NaN where nobody looked: the share of what the user
    truly liked most among the first answers to each click, where the log's maker can tell."""

    judged: Judged
    truth: Floats | None = None


@dataclass(frozen=True)
class Run:
    """One of the things that are compared. `make`: arms by name, of a seed. `minutes`: the interval, if it is one."""

    name: str
    meaning: str
    make: Callable[[int], Mapping[str, Found]]
    minutes: float = 0.0


@dataclass(frozen=True)
class Made:
    """A run that was made with a seed, and the seconds that it took (few where its bases were there)."""

    run: Run
    seed: int
    arms: Mapping[str, Found]
    seconds: float


class Budget:
    """So many seconds from now on; None: no end."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds

    def spent(self) -> bool:
        """Whether the time is over."""
        return self._end is not None and self._clock() >= self._end

    def share(self, of: int) -> Budget:
        """Return a budget of one of so many equal parts of what is left, from now on."""
        return Budget(None if self._end is None else max(self._end - self._clock(), 0.0) / of, self._clock)


def ordered(runs: Sequence[Run], seeds: Sequence[int]) -> list[tuple[Run, int]]:
    """Return every run with every seed, the most telling first: all of them with one seed, before any with another."""
    return [(run, seed) for seed in seeds for run in runs]


def made(wanted: Sequence[tuple[Run, int]], budget: Budget) -> Iterator[Made]:
    """Make runs in this order; what is at hand when the time is spent is brought to its end, and is the last."""
    for run, seed in wanted:
        began = time.perf_counter()
        arms = run.make(seed)
        yield Made(run, seed, arms, time.perf_counter() - began)
        if budget.spent():
            return


def label(run: Run, seed: int) -> str:
    """Return how a run with a seed is called."""
    return f"{run.name}, seed {seed}"


def plain(arms: Mapping[str, Judged]) -> dict[str, Found]:
    """Return arms without a truth."""
    return {name: Found(judged) for name, judged in arms.items()}
