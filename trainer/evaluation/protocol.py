"""The protocol of `freshet evaluate`, seed by seed; nothing is chosen on the day that is judged.

1. a base per night: each base day is trained on top of the one before, and calibrated by folding it onto that one.
2. what controls and peers need chosen, chosen before that day: the steps of rows without a trend prior on the last base
day, with the base of the night before; how much of yesterday's popularity is mixed in on all of them but the first.
3. every arm is asked for the test day, window by window, and learns each window after it was scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from contracts.arrays import Doubles
from contracts.bases import OpenBase
from contracts.catalogue import Catalogue
from contracts.layout import Layout
from trainer.calibration import FIRST_K, ROWS_ALONE, Trial, Trials, Yesterday, search
from trainer.evaluation.arms import Choices, makers
from trainer.evaluation.clicks import Arm
from trainer.evaluation.day import LogDay, read_log_day
from trainer.evaluation.judge import Judged, judge_one
from trainer.evaluation.metrics import hits
from trainer.evaluation.popularity import MixedWithPopularity
from trainer.evaluation.rows import FrozenRows
from trainer.evaluation.stage import Stage, set_up
from trainer.one_thread import one_thread
from trainer.retrain import RetrainPlan, retrain
from trainer.settings import TrainerSettings
from trainer.training_days import open_topic

Progress = Callable[[str, int, int], None]
EVALUATED = "an evaluation takes every day"
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
QUIET: Progress = lambda what, done, total: None  # noqa: E731


@dataclass(frozen=True)
class EvaluationPlan:
    """What is judged: bases over `base_days`, in order, and the `test_day` after them, of one topic's shards.

    `partitions`: by how many the test day is folded. `quick`: one night is calibrated, and what takes long is left out.
    Days may be spans (`contracts.days`).
    `catalogue`: what the items are about.
    """

    layout: Layout
    topic: str
    base_days: tuple[str, ...]
    test_day: str
    partitions: int
    seeds: tuple[int, ...]
    quick: bool
    settings: TrainerSettings
    catalogue: Catalogue | None = None

    @property
    def interval_ms(self) -> int:
        """How often is published."""
        return self.settings.publish_interval_ms

    @property
    def folds(self) -> tuple[int, int]:
        """By how many partitions the day is folded, and how often (ms) is published."""
        return self.partitions, self.interval_ms


@dataclass(frozen=True)
class SeedRun:
    """One seed's outcome: its base and stage, what was chosen before the day, and how each arm did."""

    seed: int
    stage: Stage
    choices: Choices
    judged: dict[str, Judged]

    @property
    def base(self) -> OpenBase:
        """The base that the day was folded onto."""
        return self.stage.ground.base


def run_seed(plan: EvaluationPlan, seed: int, progress: Progress = QUIET) -> SeedRun:
    """Train, choose and judge one seed."""
    label = f"seed {seed}: "
    # Step 1: a base per night
    bases = list(nights(plan, seed, lambda what, done, total: progress(label + what, done, total)))
    days = [_read(plan, name) for name in (*plan.base_days, plan.test_day)]
    with one_thread():
        # Step 2: what controls and peers need chosen
        choices = _choose(plan, bases, days, partial(progress, f"{label}choose for controls and peers"))
        # Step 3: the test day
        stage = set_up(bases[-1], days[:-1], days[-1], plan.folds)
        return judge(stage, choices, (seed, plan.quick), partial(progress, f"{label}judge the arms"))


def judge(stage: Stage, choices: Choices, how: tuple[int, bool], progress: Callable[[int, int], None]) -> SeedRun:
    """Judge every arm on a stage; `how`: the seed, and whether to be quick."""
    judged, arms = {}, makers(stage, choices, *how)
    for number, (name, make) in enumerate(arms.items(), start=1):
        judged[name] = judge_one(make(), stage.day)
        progress(number, len(arms))
    return SeedRun(how[0], stage, choices, judged)


def nights(plan: EvaluationPlan, seed: int, progress: Progress) -> Iterator[OpenBase]:
    """Yield a base per base day, each trained on top of the one before; what was trained before is found again."""
    parent = ""
    for number, name in enumerate(plan.base_days, start=1):
        calibrate = plan.settings.retrain.calibrate and (not plan.quick or number == len(plan.base_days))
        trained = plan.settings.retrain.model_copy(update={"seed": seed, "calibrate": calibrate})
        settings = plan.settings.model_copy(update={"retrain": trained})
        what = RetrainPlan(plan.topic, (name,), parent, settings, EVALUATED, plan.catalogue)
        base = retrain(plan.layout, what, progress)
        parent = base.manifest.base_id
        yield base


def _read(plan: EvaluationPlan, name: str) -> LogDay:
    return read_log_day(open_topic(plan.layout, plan.topic), name, plan.settings.day_zone)


def _choose(
    plan: EvaluationPlan, bases: Sequence[OpenBase], days: Sequence[LogDay], progress: Callable[[int, int], None]
) -> Choices:
    manifest = bases[-1].manifest
    fresh = Trial(manifest.online, manifest.own_scale)
    if len(bases) == 1:
        return Choices(fresh, fresh, 1.0, 1.0)
    stages = (set_up(bases[at], days[: at + 1], days[at + 1], plan.folds) for at in range(len(bases) - 1))
    before, day = plan.base_days[-2:]
    return choose(plan, fresh, stages, (bases[-2].manifest.base_id, before, day), progress)


def choose(
    plan: EvaluationPlan,
    fresh: Trial,
    stages: Iterable[Stage],
    last: tuple[str, str, str],
    progress: Callable[[int, int], None],
) -> Choices:
    """Return what controls and peers are given: weights by `stages` of earlier bases, steps by the `last` of them.

    `last`: the id of that base, its own last day, and the day after.
    """
    frozen, als = np.zeros(len(WEIGHTS)), np.zeros(len(WEIGHTS))
    for stage in stages:
        frozen += _found(FrozenRows(stage.ground.scaled(fresh.own_scale)), stage)
        if not plan.quick:
            from trainer.evaluation.ials import FrozenALS, fitted

            als += _found(FrozenALS(stage.history, fitted(stage.history, plan.seeds[0])), stage)
    rows = without_trend(plan, fresh, last, progress)
    return Choices(fresh, rows, *(WEIGHTS[int(np.argmax(each))] for each in (frozen, als)))


def without_trend(
    plan: EvaluationPlan, fresh: Trial, last: tuple[str, str, str], progress: Callable[[int, int], None]
) -> Trial:
    """Return the steps of rows without a trend prior, chosen on the day after a base; `last` as for `choose`."""
    with Trials(Yesterday(plan.layout, plan.topic, *last, plan.settings.day_zone, plan.interval_ms)) as trials:
        return search(trials, fresh, ROWS_ALONE, progress).chosen


def _found(arm: Arm, stage: Stage) -> Doubles:
    """Return by weight of the popularity of the day before how many clicks a frozen arm finds, float64 [weights]."""
    mixed = (judge_one(MixedWithPopularity(arm, stage.history, weight), stage.day) for weight in WEIGHTS)
    return np.array([hits([each], FIRST_K).sum() for each in mixed])
