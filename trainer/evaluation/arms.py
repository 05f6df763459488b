"""Which arms are judged, by name: what each is, and how it is made on a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from contracts.bases import IMPORT, OnlineSettings
from trainer.calibration import Trial
from trainer.evaluation.all_parameters import AllParameters
from trainer.evaluation.clicks import Arm
from trainer.evaluation.ials import FoldedInALS, FrozenALS, fitted
from trainer.evaluation.ncf import NeuralCF
from trainer.evaluation.neighbours import ItemNeighbours, UserNeighbours
from trainer.evaluation.popularity import LastHourPopularity, MixedWithPopularity, YesterdaysPopularity
from trainer.evaluation.rows import FrozenRows, Ground, LearningRows, swapped
from trainer.evaluation.session_mean import SessionMean
from trainer.evaluation.stage import Stage

FRESH, FRESH_SWAP = "fresh", "fresh_swap"
TREND_OWN, TREND_OWN_SWAP = "trend_own", "trend_own_swap"
OWN, COMMON, BOTH, OWN_SWAP, BOTH_SWAP = "own", "common", "both", "own_swap", "both_swap"
FROZEN_RAW, FROZEN_SHRUNK, FROZEN_POPULARITY = "frozen_raw", "frozen_shrunk", "frozen_popularity"
YESTERDAY, LAST_HOUR, ALL_PARAMETERS = "yesterday", "last_hour", "all_parameters"
FROZEN = (FROZEN_RAW, FROZEN_SHRUNK, FROZEN_POPULARITY)
TREND_FROZEN = "trend_frozen"

MEANING = {
    FRESH: "what Freshet serves: common and own rows learned on top of the trend prior, with calibrated settings",
    TREND_OWN: "the same with an own step, whether calibration kept one or not",
    TREND_FROZEN: "the trend prior on the frozen base",
    BOTH: "common and own rows, no trend prior",
    COMMON: "the common row alone, no trend prior",
    OWN: "own rows alone, no trend prior",
    FRESH_SWAP: "the control of fresh: clicks dealt out anew among a block's users",
    TREND_OWN_SWAP: "the control of trend_own",
    BOTH_SWAP: "the control of both",
    OWN_SWAP: "the control of own",
    FROZEN_RAW: "the frozen base, own rows as they were trained",
    FROZEN_SHRUNK: "the frozen base, own rows shrunk",
    FROZEN_POPULARITY: "the frozen base mixed with yesterday's popularity",
    ALL_PARAMETERS: "every parameter trained online, window by window",
    YESTERDAY: "yesterday's popularity",
    LAST_HOUR: "the last hour's popularity",
    "session_mean": "the mean vector of today's clicks",
    "item_neighbours": "item-based collaborative filtering",
    "user_neighbours": "user-based collaborative filtering",
    "ials": "iALS of the implicit package, frozen",
    "ials_popularity": "iALS mixed with yesterday's popularity",
    "ials_folded_in": "iALS, users folded in with today's clicks",
    "ncf": "neural collaborative filtering, frozen",
}
SWAPS = {FRESH: FRESH_SWAP, TREND_OWN: TREND_OWN_SWAP, BOTH: BOTH_SWAP, OWN: OWN_SWAP}


@dataclass(frozen=True)
class Choices:
    """What was chosen before the day that is judged: by calibration, without a trend prior, and the weights of
    yesterday's popularity beside the frozen base and beside iALS."""

    fresh: Trial
    without_trend: Trial
    frozen_weight: float
    ials_weight: float


def own_step(online: OnlineSettings) -> OnlineSettings:
    """Return the settings with an own step: theirs, or the default where calibration kept none."""
    if online.own_step:
        return online
    default = OnlineSettings()
    changes = {"own_step": default.own_step, "learning_temperature": default.learning_temperature}
    return msgspec.structs.replace(online, **changes)


def makers(stage: Stage, choices: Choices, seed: int, quick: bool) -> dict[str, Callable[[], Arm]]:
    """Return by name how each arm is made; those that take long to fit are left out of a quick look."""
    fresh, rows = choices.fresh, choices.without_trend
    ground, still = stage.ground.scaled(fresh.own_scale), stage.ground.scaled(rows.own_scale)
    with_own = own_step(rows.online)
    learned: dict[str, tuple[Ground, OnlineSettings]] = {
        FRESH: (ground, fresh.online),
        TREND_OWN: (ground, own_step(fresh.online)),
        TREND_FROZEN: (ground, msgspec.structs.replace(fresh.online, common_step=0.0, own_step=0.0)),
        BOTH: (still, with_own),
        COMMON: (still, msgspec.structs.replace(with_own, own_step=0.0)),
        OWN: (still, msgspec.structs.replace(with_own, common_step=0.0)),
    }
    found: dict[str, Callable[[], Arm]] = {
        FROZEN_RAW: lambda: FrozenRows(stage.ground.scaled(1.0)),
        FROZEN_SHRUNK: lambda: FrozenRows(ground),
        FROZEN_POPULARITY: lambda: MixedWithPopularity(FrozenRows(ground), stage.history, choices.frozen_weight),
        YESTERDAY: lambda: YesterdaysPopularity(stage.history),
        LAST_HOUR: lambda: LastHourPopularity(stage.history),
        **{name: _learning(*each) for name, each in learned.items()},
        **{swap: _swapped(learned[name], seed) for name, swap in SWAPS.items()},
    }
    return found if quick else {**found, **_all_parameters(stage, seed), **_slow(stage, choices, seed)}


def _learning(ground: Ground, online: OnlineSettings) -> Callable[[], Arm]:
    return lambda: LearningRows(ground, online)


def _swapped(learned: tuple[Ground, OnlineSettings], seed: int) -> Callable[[], Arm]:
    ground, online = learned
    return lambda: LearningRows(replace(ground, folding=swapped(ground.folding, seed)), online)


def _all_parameters(stage: Stage, seed: int) -> Mapping[str, Callable[[], Arm]]:
    """Of an imported model nobody here can train the dense layers."""
    if stage.ground.base.has(IMPORT):
        return {}
    return {ALL_PARAMETERS: lambda: AllParameters(stage.ground, stage.row_at, seed)}


def _slow(stage: Stage, choices: Choices, seed: int) -> Mapping[str, Callable[[], Arm]]:
    history, vectors = stage.history, stage.ground.base.items.vectors
    factors = fitted(history, seed)
    return {
        "session_mean": lambda: SessionMean(history, vectors),
        "item_neighbours": lambda: ItemNeighbours(history),
        "user_neighbours": lambda: UserNeighbours(history),
        "ials": lambda: FrozenALS(history, factors),
        "ials_popularity": lambda: MixedWithPopularity(FrozenALS(history, factors), history, choices.ials_weight),
        "ials_folded_in": lambda: FoldedInALS(history, factors),
        "ncf": lambda: NeuralCF(history, seed),
    }
