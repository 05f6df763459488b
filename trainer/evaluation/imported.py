"""An imported base judged: the same arms on the day after its cut, but those that need its dense layers.

What controls need chosen is chosen with the base whose settings it has, on the day that one was calibrated on.
"""

from __future__ import annotations

from functools import partial

from contracts.bases import BaseStore, OpenBase
from contracts.days import bounds, day_of, shown
from contracts.errors import UsageError
from trainer.calibration import NO_TREND, Trial
from trainer.evaluation.arms import Choices
from trainer.evaluation.day import LogDay, read_log_day
from trainer.evaluation.protocol import QUIET, EvaluationPlan, Progress, SeedRun, choose, judge
from trainer.evaluation.split import Split
from trainer.evaluation.stage import set_up
from trainer.importing.record import of_base
from trainer.one_thread import one_thread
from trainer.training_days import open_topic


def parts(base: OpenBase, asked: tuple[str, str, str]) -> Split:
    """Return the base's days and the day after its cut; `asked`: topic, day zone, and a test day or nothing.

    Raises `UsageError` for a base that does not fit, or that was calibrated on the day to be judged.
    """
    (topic, zone, test), manifest = asked, base.manifest
    told = of_base(base)
    if (manifest.topic, manifest.day_zone) != (topic, zone):
        raise UsageError(
            f"base {manifest.base_id} is of topic {manifest.topic!r}, {manifest.day_zone}, not of {topic!r}, {zone}",
            hint=f"Give --topic {manifest.topic} --day-zone {manifest.day_zone}.",
        )
    test = test or day_of(manifest.cut_watermark, zone)
    if bounds(test, zone)[0] != manifest.cut_watermark:
        raise UsageError(
            f"base {manifest.base_id} is not judged on {test}: it was cut at {shown(manifest.cut_watermark, zone)}",
            hint="The test begins at the cut: leave --test out, or import the model of the days before that one.",
        )
    if bounds(test, zone)[0] < _calibrated_until(told.calibrated_on, zone):
        raise UsageError(
            f"base {manifest.base_id} was calibrated on {told.calibrated_on}, so it is not judged on {test}",
            hint=f"Import the model of the next day with --settings-of {manifest.base_id}, and judge that one.",
        )
    return Split(manifest.days, test)


def run_seed(plan: EvaluationPlan, seed: int, base: OpenBase, progress: Progress = QUIET) -> SeedRun:
    """Choose and judge; the seed is that of the SWAPs and of peers."""
    label = f"seed {seed}: "
    days = [_read(plan, name) for name in (*plan.base_days, plan.test_day)]
    with one_thread():
        choices = _choose(plan, base, partial(progress, f"{label}choose for controls and peers"))
        stage = set_up(base, days[:-1], days[-1], plan.folds)
        return judge(stage, choices, (seed, plan.quick), partial(progress, f"{label}judge the arms"))


def _choose(plan: EvaluationPlan, base: OpenBase, progress: partial[None]) -> Choices:
    fresh, told = Trial(base.manifest.online, base.manifest.own_scale), of_base(base)
    if not (told.settings_of and told.calibrated_on):
        return Choices(fresh, fresh.changed(NO_TREND), 1.0, 1.0)
    earlier = BaseStore(plan.layout).open(told.settings_of)
    days = [_read(plan, name) for name in (*earlier.manifest.days, told.calibrated_on)]
    stage = set_up(earlier, days[:-1], days[-1], plan.folds)
    last = (told.settings_of, earlier.manifest.days[-1], told.calibrated_on)
    return choose(plan, fresh, [stage], last, progress)


def _calibrated_until(day: str, zone: str) -> int:
    return bounds(day, zone)[1] if day else 0


def _read(plan: EvaluationPlan, name: str) -> LogDay:
    return read_log_day(open_topic(plan.layout, plan.topic), name, plan.settings.day_zone)
