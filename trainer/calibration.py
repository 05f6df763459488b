"""The online settings of a new base, chosen by folding yesterday's samples onto yesterday's base.

One setting after the other; the value with the best recall@20 of active users is kept. A trend prior and an own step
must be worth more than that to be there at all: they are off unless their best value is better by two standard errors
(users being independent), for several are tried against "off", and what helps nobody must stay off. That is the rule of
one standard error (Breiman et al. 1984, "Classification and regression trees", section 3.4.3), taken twice. Nothing is
ever chosen on the day that is judged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from contracts.arrays import Doubles, Flags, Integers
from contracts.bases import BaseStore, OnlineSettings
from contracts.collector import collect_seldom
from contracts.layout import Layout
from trainer.evaluation.day import read_log_day
from trainer.evaluation.judge import judge_one
from trainer.evaluation.metrics import hits, standard_error
from trainer.evaluation.rows import LearningRows
from trainer.evaluation.slices import active_clicks
from trainer.evaluation.stage import Stage, set_up
from trainer.one_thread import one_thread
from trainer.training_days import open_topic

MINUTE_MS = 60_000
FIRST_K = 20
CALIBRATION = "calibration.json"
ERRORS = 2.0


@dataclass(frozen=True)
class Trial:
    """What is tried: online settings, the scale of the base's own rows, and what all its scores are multiplied by."""

    online: OnlineSettings
    own_scale: float
    sharpness: float = 1.0

    def changed(self, change: dict[str, float]) -> Trial:
        """Return the trial with some settings changed; `own_scale` and `sharpness` are among them."""
        of_base = {"own_scale": self.own_scale, "sharpness": self.sharpness}
        rest = {name: value for name, value in change.items() if name not in of_base}
        here = {name: change.get(name, value) for name, value in of_base.items()}
        return Trial(msgspec.structs.replace(self.online, **rest), **here)


@dataclass(frozen=True)
class Tried:
    """How a trial did: recall@20 over the known clicks of active users, and each of their hits, float64 [n]."""

    trial: Trial
    recall: float
    hits: Doubles


@dataclass(frozen=True)
class Yesterday:
    """What is folded onto what: `day` (YYYY-MM-DD) of a topic onto a base whose last day is `before`.

    `bases`: where the base lies, if not in the run folder.
    """

    layout: Layout
    topic: str
    base_id: str
    before: str
    day: str
    zone: str
    interval_ms: int
    bases: Layout | None = None

    def stage(self) -> Stage:
        """Read both days and set the base up."""
        topic, base = open_topic(self.layout, self.topic), BaseStore(self.bases or self.layout).open(self.base_id)
        before, day = (read_log_day(topic, name, self.zone) for name in (self.before, self.day))
        return set_up(base, [before], day, (base.manifest.partitions, self.interval_ms))


@dataclass(frozen=True)
class Calibration:
    """What was chosen, and everything that was tried, in order: label, recall@20 of active users, whether kept."""

    chosen: Trial
    recall: float
    tried: tuple[tuple[str, float, bool], ...]


Grid = Sequence[Sequence[dict[str, float]]]

# The values of one setting after the other; where the first one is "off", others have to earn their place.
NO_TREND = {"beta": 0.0, "bias_weight": 1.0}
TREND: Grid = ([NO_TREND, *({"beta": beta, "bias_weight": 0.0} for beta in (0.5, 1.0, 1.2, 1.5))],)
HALF_LIFE: Grid = ([{"half_life_ms": minutes * MINUTE_MS} for minutes in (30, 15, 60, 120)],)
COMMON: Grid = ([{"common_step": step} for step in (0.0, 0.1, 0.3, 1.0, 2.0)],)
OWN: Grid = (
    [
        {"own_step": step, "learning_temperature": temperature}
        for step, temperature in ((0.0, 4.0), (0.1, 4.0), (0.3, 4.0), (0.1, 1.0), (0.3, 1.0), (1.0, 1.0))
    ],
    [{"own_scale": scale} for scale in (0.0, 0.1, 0.3, 1.0)],
)
EVERYTHING: Grid = (*TREND, *COMMON, *HALF_LIFE, *OWN, *COMMON)  # own rows change what the common one is worth
SHARPNESS: Grid = ([{"sharpness": factor} for factor in (1.0, 0.1, 0.3, 3.0, 10.0, 30.0)],)
FINER: Grid = ([{"common_step": step} for step in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0)],)
OF_IMPORTS: Grid = (*TREND, *SHARPNESS, *HALF_LIFE, *FINER, *OWN, *FINER)  # as it is first: scores have any scale
ROWS_ALONE: Grid = ([NO_TREND], *COMMON, *OWN)


class Trials:
    """Runs trials on one stage, in a process per core, for a `with` statement.

    `users`: int64 [n], of the clicks that count.
    """

    def __init__(self, yesterday: Yesterday) -> None:
        processes = len(os.sched_getaffinity(0))
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (yesterday,))
        self.users: Integers = self._pool.submit(_users).result()

    def run(self, trials: Sequence[Trial]) -> list[Tried]:
        """Return how each trial did, in their order."""
        return list(self._pool.map(_run, trials))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)


def nothing(given: Trial) -> Calibration:
    """Return the settings that were given, where there is nothing to choose them by."""
    return Calibration(given, 0.0, ())


def search(
    trials: Trials, start: Trial, grid: Grid, progress: Callable[[int, int], None] = lambda done, total: None
) -> Calibration:
    """Choose the settings of a grid, beginning with `start`, whose other settings stay.

    `progress` gets trials done and in all.
    """
    users = trials.users
    if not len(users):
        return nothing(start)
    kept, total = Tried(start, 0.0, np.zeros(len(users))), sum(map(len, grid))
    notes: list[tuple[str, float, bool]] = []
    for values in grid:
        found = trials.run([kept.trial.changed(change) for change in values])
        kept = _best(found, users, sceptical=values[0] == NO_TREND or values[0].get("own_step") == 0.0)
        notes += [(_label(change), each.recall, each is kept) for change, each in zip(values, found, strict=True)]
        progress(len(notes), total)
    return Calibration(kept.trial, kept.recall, tuple(notes))


def _best(found: Sequence[Tried], users: Integers, sceptical: bool) -> Tried:
    """Return the best of several trials; a sceptic takes the first unless another one is clearly better."""
    best = max(found, key=lambda each: each.recall)
    if not sceptical:
        return best
    gain, error = standard_error(best.hits, found[0].hits, users, np.ones(len(users), np.bool_))
    return best if gain > ERRORS * error else found[0]


def tried(stage: Stage, trial: Trial) -> Tried:
    """Fold the stage's day under a trial and judge it."""
    ground = stage.ground.scaled(trial.own_scale).sharpened(trial.sharpness)
    judged = judge_one(LearningRows(ground, trial.online), stage.day)
    found = hits([judged], FIRST_K)[counted(stage)]
    return Tried(trial, float(found.mean()) if len(found) else 0.0, found)


def counted(stage: Stage) -> Flags:
    """Return bool [n]: the clicks of active users on candidates."""
    return active_clicks(stage.day) & stage.day.known


def _label(change: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in change.items())


_stage: list[Stage] = []


def _begin(yesterday: Yesterday) -> None:
    collect_seldom()
    with one_thread():
        _stage.append(yesterday.stage())


def _users() -> Integers:
    (stage,) = _stage
    return stage.day.clicks.users[counted(stage)]


def _run(trial: Trial) -> Tried:
    (stage,) = _stage
    with one_thread():
        return tried(stage, trial)
