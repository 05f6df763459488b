"""Nightly retrain only, online update only for several days, or both, all judged on the same last day.

Online only: the base of an early night, and rows and trend counts learned on it day after day, without a retrain. What
it cannot have is the items of later days, so every figure is over all clicks; those on items that a base does not know
are misses. All get the online settings that the last night chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from contracts import days
from trainer.evaluation.arms import BOTH, FRESH, FROZEN_SHRUNK, TREND_FROZEN
from trainer.evaluation.clicks import NOT_A_CANDIDATE
from trainer.evaluation.judge import Judged, JudgedDay
from trainer.evaluation.stage import set_up
from trainer.experiments.bench import Bench
from trainer.experiments.runs import Found, Run

ROWS, WITH_PRIOR = "rows", "rows and trend prior"
MOVING = {ROWS: BOTH, WITH_PRIOR: FRESH}
STILL = {ROWS: FROZEN_SHRUNK, WITH_PRIOR: TREND_FROZEN}


def runs(bench: Bench) -> Sequence[Run]:
    """Return both, nightly only, and online only for ever fewer days. Raises `UsageError` for one night."""
    bench.require_nights(2)
    nights = len(bench.plan.base_days)
    return [
        Run("nightly and online", "a base of last night, updated during the day", partial(last_night, bench, MOVING)),
        Run("nightly only", "a base of last night whose rows stand still", partial(last_night, bench, STILL)),
        *(
            Run(f"online only for {count} days", f"a base of {count} nights ago", partial(online_only, bench, count))
            for count in range(nights, 1, -1)
        ),
    ]


def last_night(bench: Bench, arms: Mapping[str, str], seed: int) -> Mapping[str, Found]:
    """Return how `arms`, names by what they are called here, did on the base of last night."""
    bases = bench.nights(seed)
    found = bench.judged(bench.stage(bases[-1]), bench.choices(bases, MOVING.values()), arms.values(), seed)
    return {name: Found(found[arm]) for name, arm in arms.items()}


def online_only(bench: Bench, count: int, seed: int) -> Mapping[str, Found]:
    """Return how rows did that were learned for `count` days, the judged one included, on the base before them."""
    bases, plan, zone = bench.nights(seed), bench.plan, bench.plan.settings.day_zone
    at = len(bases) - count
    last = bench.day(plan.test_day)
    whole = bench.day(days.span(days.bounds(plan.base_days[at], zone)[1], last.end))
    stage = set_up(bases[at], [bench.day(plan.base_days[at])], whole, (1, plan.interval_ms))
    skipped = len(whole.samples) - len(last.samples)
    stage = replace(stage, day=unasked(stage.day, skipped))
    found = bench.judged(stage, bench.choices(bases, MOVING.values()), MOVING.values(), seed)
    return {ROWS: Found(_behind(found[BOTH], skipped)), WITH_PRIOR: Found(_behind(found[FRESH], skipped))}


def unasked(day: JudgedDay, count: int) -> JudgedDay:
    """Return a day whose first `count` clicks are learned, and nobody is asked for them."""
    items = day.clicks.items.copy()
    items[:count] = NOT_A_CANDIDATE
    return replace(day, clicks=replace(day.clicks, items=items))


def _behind(judged: Judged, count: int) -> Judged:
    rest = slice(count, None)
    return replace(judged, ranks=judged.ranks[rest], auc=judged.auc[rest], tails=judged.tails[rest])
