"""From the runs that were made to the result document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from contracts.arrays import Flags, Integers
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Clicks
from trainer.evaluation.day import LogDay
from trainer.evaluation.judge import NOT_SCORED, Judged, JudgedDay, Masks
from trainer.evaluation.metrics import figures, hits, interval
from trainer.evaluation.results import Comparison, Spread, slice_result
from trainer.evaluation.slices import active_clicks
from trainer.experiments.bench import Bench
from trainer.experiments.claims import Claim
from trainer.experiments.results import ArmFigures, Experiment, RunResult
from trainer.experiments.runs import Found, Made

OVER_ALL = "recall20_all"
_NOTHING = np.zeros(0, np.int64)


class Asked(NamedTuple):
    """The clicks of the judged day: `users`, int64 [n], by code, and `slices`, bool [n] by name."""

    users: Integers
    slices: dict[str, Flags]


def asked(day: LogDay, interval_ms: int) -> Asked:
    """Return the clicks of a day; "active" is told by windows of this interval, for all runs alike."""
    codes: dict[str, int] = {}
    users = np.array([codes.setdefault(user, len(codes)) for user in day.samples.users], dtype=np.int64)
    clicks = Clicks(0, users, np.full(len(users), NOT_A_CANDIDATE), day.samples.click_times)
    edges = np.arange(day.start + interval_ms, day.end + interval_ms, interval_ms)
    ends = np.searchsorted(day.samples.watermarks, edges, side="left").astype(np.int64)
    nothing = Masks(_NOTHING, _NOTHING)
    judged = JudgedDay(clicks, day.start, interval_ms, ends, 0, nothing, np.zeros(0, np.bool_))
    return Asked(users, {"all": np.ones(len(users), np.bool_), "active": active_clicks(judged)})


def summarise(claim: Claim, bench: Bench, made: Sequence[Made], about: tuple[str, tuple[str, ...]]) -> Experiment:
    """Return the document of the runs that were made; `about`: the command that made them, and what was not made."""
    plan = bench.plan
    clicks = asked(bench.day(plan.test_day), plan.interval_ms)
    by_run: dict[str, list[Made]] = {}
    for each in made:
        by_run.setdefault(each.run.name, []).append(each)
    return Experiment(
        name=claim.name,
        asks=claim.asks,
        command=about[0],
        measure=claim.measure,
        log=bench.folder.root.name,
        base_days=plan.base_days,
        judged_day=plan.test_day,
        day_zone=plan.settings.day_zone,
        interval_ms=plan.interval_ms,
        clicks=len(clicks.users),
        runs=tuple(_run(seeds, clicks) for seeds in by_run.values()),
        not_made=about[1],
        comparisons=tuple(_comparisons(list(by_run.values()), clicks, claim.measure == OVER_ALL)),
    )


def _run(seeds: Sequence[Made], clicks: Asked) -> RunResult:
    run = seeds[0].run
    arms = {name: _arm([each.arms[name] for each in seeds], clicks) for name in seeds[0].arms}
    numbers = tuple(each.seed for each in seeds)
    seconds = tuple(round(each.seconds, 1) for each in seeds)
    return RunResult(run.name, run.meaning, run.minutes, numbers, seconds, arms)


def _arm(found: Sequence[Found], clicks: Asked) -> ArmFigures:
    slices = {
        name: slice_result([figures(each.judged, flags) for each in found]) for name, flags in clicks.slices.items()
    }
    truths = [float(np.nanmean(each.truth)) for each in found if each.truth is not None]
    return ArmFigures(slices, Spread(float(np.mean(truths)), float(np.std(truths))) if truths else None)


def _comparisons(runs: Sequence[Sequence[Made]], clicks: Asked, over_all: bool) -> Iterator[Comparison]:
    """Yield the same arm in each run less that in the first, and each arm of a run less its first."""
    first = runs[0]
    for seeds in runs:
        arms = list(seeds[0].arms)
        pairs = [((seeds, arm), (first, arm)) for arm in arms if seeds is not first and arm in first[0].arms]
        pairs += [((seeds, arm), (seeds, arms[0])) for arm in arms[1:]]
        for (better, arm), (worse, than) in pairs:
            both = _paired(better, arm), _paired(worse, than)
            common = sorted(both[0].keys() & both[1].keys())
            names = f"{better[0].run.name}: {arm}", f"{worse[0].run.name}: {than}"
            judged = [[side[seed] for seed in common] for side in both]
            yield from (_comparison(names, judged, (name, clicks), over_all) for name in clicks.slices)


def _paired(seeds: Iterable[Made], arm: str) -> Mapping[int, Judged]:
    return {each.seed: each.arms[arm].judged for each in seeds}


def _comparison(
    names: tuple[str, str], judged: Sequence[Sequence[Judged]], part: tuple[str, Asked], over_all: bool
) -> Comparison:
    (arm, than), (name, clicks) = names, part
    counted = clicks.slices[name]
    if not over_all:
        counted = counted & (judged[0][0].ranks != NOT_SCORED) & (judged[1][0].ranks != NOT_SCORED)
    better, worse = (hits(each, 20) for each in judged)
    found = interval(better, worse, clicks.users, counted)
    control = float(worse[counted].mean()) if counted.any() else 0.0
    relative = found.difference / control if control else 0.0
    return Comparison(arm, than, name, found.difference, found.low, found.high, relative)
