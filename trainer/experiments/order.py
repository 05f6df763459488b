"""Shuffled days or the order of time: the setting `order` of `[retrain]`, with and without the trend prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from trainer.evaluation.arms import BOTH, FRESH, FROZEN_SHRUNK, TREND_FROZEN
from trainer.experiments.bench import Bench
from trainer.experiments.runs import Found, Run, plain

ARMS = (FROZEN_SHRUNK, BOTH, TREND_FROZEN, FRESH)
ORDERS = {
    "day": "each day shuffled as a whole",
    "click": "clicks in the order of time",
    "hour": "hours in the order of time, shuffled within",
    "minute": "minutes in the order of time, shuffled within",
}


def runs(bench: Bench) -> Sequence[Run]:
    """Return a run per order."""
    return [Run(name, meaning, partial(_made, bench.told(retrain={"order": name}))) for name, meaning in ORDERS.items()]


def _made(bench: Bench, seed: int) -> Mapping[str, Found]:
    bases = bench.nights(seed)
    return plain(bench.judged(bench.stage(bases[-1]), bench.choices(bases, ARMS), ARMS, seed))
