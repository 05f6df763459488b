"""How often to publish: the gain over the frozen base by the interval, beside what Monolith reports.

One base for all, with the settings that it was calibrated with at the interval of the settings file; blocks of a minute
for all, so that the shortest interval is whole blocks. An arm that trains every parameter online, window by window, is
beside: that is nearer to what Monolith does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from trainer.evaluation.all_parameters import AllParameters
from trainer.evaluation.arms import ALL_PARAMETERS, BOTH, FRESH, FROZEN_SHRUNK, TREND_FROZEN
from trainer.evaluation.judge import judge_one
from trainer.experiments.bench import Bench
from trainer.experiments.runs import Found, Run, plain
from trainer.one_thread import one_thread

MINUTE_MS = 60_000
ARMS = (FROZEN_SHRUNK, BOTH, TREND_FROZEN, FRESH)
MINUTES = {30: "30 minutes", 300: "5 hours", 60: "1 hour", 10: "10 minutes", 1: "1 minute"}

# Liu et al. 2022, "Monolith", arXiv 2209.07663, table 2: points of AUC that online training gains on batch training, by
# the minutes between two synchronisations of parameters.
MONOLITH = {300: 0.24, 60: 0.34, 30: 0.37}


def runs(bench: Bench) -> Sequence[Run]:
    """Return a run per interval."""
    return [
        Run(name, f"published every {name}", partial(_made, bench, minutes), minutes)
        for minutes, name in MINUTES.items()
    ]


def _made(bench: Bench, minutes: int, seed: int) -> Mapping[str, Found]:
    bases = bench.nights(seed)
    choices, base = bench.choices(bases, ARMS), bases[-1]
    base = base.told(online=msgspec.structs.replace(base.manifest.online, block_ms=MINUTE_MS))
    stage = bench.stage(base, minutes * MINUTE_MS)
    found = bench.judged(stage, choices, ARMS, seed)
    with one_thread():
        found[ALL_PARAMETERS] = judge_one(AllParameters(stage.ground, stage.row_at, seed), stage.day)
    return plain(found)
