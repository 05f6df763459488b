"""The log that runs are made on: bases under any settings, and arms judged on the last day.

Everything that a run chooses is chosen before the judged day: online settings by the calibration of the last night,
steps of rows without a trend prior on the last base day. Bases are kept, and found again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from contracts.bases import OpenBase
from contracts.errors import UsageError
from contracts.layout import Layout
from trainer.calibration import NO_TREND, Trial
from trainer.evaluation.arms import BOTH, Choices, makers
from trainer.evaluation.day import LogDay, read_log_day
from trainer.evaluation.judge import Judged, judge_one
from trainer.evaluation.protocol import QUIET, EvaluationPlan, Progress, nights, without_trend
from trainer.evaluation.stage import Stage, set_up
from trainer.one_thread import one_thread
from trainer.training_days import open_topic

BASES = "bases"


@dataclass(frozen=True)
class Bench:
    """`plan`: which base days, judged day and settings, its layout being the run folder of experiments.

    `folder`: where the log was folded into shards; `words`: the options that it was told by, empty where its shards
    were there. What was read or chosen once is kept, in what copies share.
    """

    plan: EvaluationPlan
    folder: Layout
    words: tuple[str, ...]
    progress: Progress = QUIET
    _days: dict[str, LogDay] = field(default_factory=dict)
    _rows: dict[str, Trial] = field(default_factory=dict)

    def told(self, **tables: Mapping[str, object]) -> Bench:
        """Return the same with some settings changed: `told(retrain={"batch": 256})`."""
        settings = self.plan.settings
        changed = {name: getattr(settings, name).model_copy(update=dict(values)) for name, values in tables.items()}
        return replace(self, plan=replace(self.plan, settings=settings.model_copy(update=changed)))

    def nights(self, seed: int) -> list[OpenBase]:
        """Return a base per base day, each on top of the one before, the last one calibrated."""
        return list(nights(self.plan, seed, self.progress))

    def require_nights(self, count: int) -> None:
        """Raise `UsageError` for fewer base days than that."""
        if len(self.plan.base_days) < count:
            raise UsageError(
                f"{len(self.plan.base_days)} base day is not enough here: {count} are needed",
                hint="Give a longer log, or more days: --base FIRST..LAST.",
            )

    def day(self, name: str) -> LogDay:
        """Return a day or span of the log."""
        if name not in self._days:
            topic = open_topic(self.plan.layout, self.plan.topic)
            self._days[name] = read_log_day(topic, name, self.plan.settings.day_zone)
        return self._days[name]

    def stage(self, base: OpenBase, interval_ms: int = 0) -> Stage:
        """Return the judged day on a base over all base days, published every `interval_ms` (0: as the plan says)."""
        before = [self.day(name) for name in self.plan.base_days]
        return set_up(base, before, self.day(self.plan.test_day), (1, interval_ms or self.plan.interval_ms))

    def choices(self, bases: Sequence[OpenBase], names: Iterable[str]) -> Choices:
        """Return what was chosen for the last of these bases, one a night, before the judged day, as `names` need it.

        Rows without a trend prior get steps of their own where such arms are named, unless nothing is calibrated.
        """
        manifest = bases[-1].manifest
        fresh = Trial(manifest.online, manifest.own_scale)
        if BOTH not in names or len(bases) < 2 or not self.plan.settings.retrain.calibrate:
            return Choices(fresh, fresh.changed(NO_TREND), 1.0, 1.0)
        if manifest.base_id not in self._rows:
            self._rows[manifest.base_id] = self._without_trend(bases, fresh)
        return Choices(fresh, self._rows[manifest.base_id], 1.0, 1.0)

    def judged(self, stage: Stage, choices: Choices, names: Iterable[str], seed: int) -> dict[str, Judged]:
        """Return how some arms of `trainer.evaluation.arms` did, by name."""
        found = dict[str, Judged]()
        made, wanted = makers(stage, choices, seed, quick=True), list(names)
        with one_thread():
            for name in wanted:
                found[name] = judge_one(made[name](), stage.day)
                self.progress("judge the arms", len(found), len(wanted))
        return found

    def _without_trend(self, bases: Sequence[OpenBase], fresh: Trial) -> Trial:
        before, day = self.plan.base_days[-2:]
        last = (bases[-2].manifest.base_id, before, day)
        with one_thread():
            return without_trend(self.plan, fresh, last, partial(self.progress, "choose for rows alone"))


def own_folder(layout: Layout, topic: str) -> Layout:
    """Return the run folder of experiments on the shards of another one: the same shards, bases of its own."""
    own = Layout(layout.experiment(BASES))
    there, here = layout.shards(topic, 0).parent, own.shards(topic, 0).parent
    if not here.is_symlink():
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(os.path.relpath(there, here.parent), target_is_directory=True)
    return own
