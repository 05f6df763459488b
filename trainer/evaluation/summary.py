"""From the judged arms of all seeds to the result document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from contracts.arrays import Flags, Floats
from contracts.bases import IMPORT
from trainer import lineage
from trainer.evaluation.arms import (
    ALL_PARAMETERS,
    BOTH,
    COMMON,
    FRESH,
    FROZEN,
    LAST_HOUR,
    MEANING,
    OWN,
    SWAPS,
    TREND_OWN,
)
from trainer.evaluation.judge import Judged, JudgedDay
from trainer.evaluation.metrics import capture_ratio, figures, hits, interval
from trainer.evaluation.protocol import EvaluationPlan, SeedRun
from trainer.evaluation.results import (
    ArmResult,
    Comparison,
    Evaluation,
    Neighbour,
    SeedSettings,
    SliceResult,
    slice_result,
)
from trainer.evaluation.slices import hours, slices
from trainer.importing.record import of_base as imported

COMPARED_SLICES = ("all", "active", "active_new")
SHOWN_ITEMS, NEAREST = 12, 5


def summarise(plan: EvaluationPlan, log: str, runs: Sequence[SeedRun]) -> Evaluation:
    """Return the document of a plan's runs, one per seed, all over the same clicks."""
    first = runs[0]
    day = first.stage.day
    inside = slices(day, first.stage.known_users)
    arms = {name: _arm(name, runs, inside) for name in first.judged}
    best = max((name for name in FROZEN if name in arms), key=lambda name: arms[name].slices["all"].recall20.mean)
    known = int(np.count_nonzero(day.known))
    return Evaluation(
        log=log,
        base_days=plan.base_days,
        judged_day=plan.test_day,
        day_zone=plan.settings.day_zone,
        interval_ms=plan.interval_ms,
        partitions=plan.partitions,
        clicks=len(day.clicks),
        users=len(np.unique(day.clicks.users)),
        candidates=day.candidates,
        coverage=known / max(len(day.clicks), 1),
        best_frozen=best,
        capture_ratio=_captured(arms, best),
        seeds=tuple(_settings(plan, run) for run in runs),
        arms=arms,
        comparisons=tuple(_comparisons(runs, inside, best)),
        neighbours=_neighbours(first),
    )


def _arm(name: str, runs: Sequence[SeedRun], inside: Mapping[str, Flags]) -> ArmResult:
    judged = [run.judged[name] for run in runs]
    day = runs[0].stage.day
    found: dict[str, SliceResult] = {
        slice_name: slice_result([figures(each, flags) for each in judged]) for slice_name, flags in inside.items()
    }
    seconds = float(np.mean([each.learning_s for each in judged]))
    rate = len(day.clicks) / seconds if seconds > 1e-2 else 0.0  # who learns nothing takes no time
    return ArmResult(MEANING[name], rate, found, _by_hour(judged, day))


def _by_hour(judged: Sequence[Judged], day: JudgedDay) -> tuple[float | None, ...]:
    known, hour, hit = day.known, hours(day), hits(judged, 20)
    last = int(hour.max(initial=0))
    found = [hit[known & (hour == number)] for number in range(last + 1)]
    return tuple(float(each.mean()) if len(each) else None for each in found)


def _comparisons(runs: Sequence[SeedRun], inside: Mapping[str, Flags], best: str) -> list[Comparison]:
    pairs = [(FRESH, best), (FRESH, LAST_HOUR), (BOTH, best), (COMMON, best), (OWN, best)]
    pairs += list(SWAPS.items())
    pairs += [(FRESH, ALL_PARAMETERS), (TREND_OWN, FRESH)]
    there = [(arm, than) for arm, than in pairs if arm in runs[0].judged and than in runs[0].judged]
    return [_comparison(runs, pair, (name, inside[name])) for pair in there for name in COMPARED_SLICES]


def _comparison(runs: Sequence[SeedRun], pair: tuple[str, str], part: tuple[str, Flags]) -> Comparison:
    (arm, than), (name, flags), day = pair, part, runs[0].stage.day
    known = flags & day.known
    better, worse = (hits([run.judged[each] for run in runs], 20) for each in pair)
    found = interval(better, worse, day.clicks.users, known)
    control = float(worse[known].mean()) if known.any() else 0.0
    relative = found.difference / control if control else 0.0
    return Comparison(arm, than, name, found.difference, found.low, found.high, relative)


def _captured(arms: Mapping[str, ArmResult], best: str) -> float | None:
    if ALL_PARAMETERS not in arms:
        return None
    rows, frozen, everything = (arms[name].slices["all"].recall20.mean for name in (FRESH, best, ALL_PARAMETERS))
    return capture_ratio(rows, frozen, everything)


def _settings(plan: EvaluationPlan, run: SeedRun) -> SeedSettings:
    manifest, rows = run.base.manifest, run.choices.without_trend
    chosen = {**msgspec.structs.asdict(rows.online), "own_scale": rows.own_scale}
    online = msgspec.structs.asdict(manifest.online)
    return SeedSettings(run.seed, manifest.base_id, _calibrated_on(plan, run), online, manifest.own_scale, chosen)


def _calibrated_on(plan: EvaluationPlan, run: SeedRun) -> str:
    if run.base.has(IMPORT):
        return imported(run.base).calibrated_on
    calibrated = len(plan.base_days) > 1 and plan.settings.retrain.calibrate
    return plan.base_days[-1] if calibrated else ""


def _neighbours(run: SeedRun) -> tuple[Neighbour, ...]:
    base = run.base
    counts = lineage.item_counts(base)
    ids, vectors = base.items.ids, _unit(base.items.vectors)
    order = sorted(range(len(ids)), key=lambda at: (-counts.get(ids[at], 0.0), ids[at]))[:SHOWN_ITEMS]
    alike = vectors[order] @ vectors.T
    found = []
    for row, at in enumerate(order):
        nearest = [near for near in np.argsort(-alike[row], kind="stable").tolist() if near != at][:NEAREST]
        near = tuple((ids[other], float(alike[row, other])) for other in nearest)
        found.append(Neighbour(ids[at], int(counts.get(ids[at], 0.0)), near))
    return tuple(found)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)
