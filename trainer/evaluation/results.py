"""The result document of an evaluation, `freshet.evaluation/1`; docs/evaluation.md says what each key means.

Recalls, MRR and AUC are shares; every figure is a mean over the seeds, beside its spread (standard deviation).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from contracts.errors import Corrupt
from trainer.evaluation.metrics import Figures

SCHEMA = "freshet.evaluation/1"


class Spread(msgspec.Struct, frozen=True):
    """A figure's mean over the seeds, and its standard deviation."""

    mean: float
    deviation: float


class SliceResult(msgspec.Struct, frozen=True):
    """How an arm did on a slice: `clicks` in it, of them `known` on candidates, and the figures."""

    clicks: int
    known: int
    recall20: Spread
    recall100: Spread
    recall20_all: Spread
    mrr: Spread
    auc: Spread
    tail: Spread


class ArmResult(msgspec.Struct, frozen=True):
    """How an arm did. `meaning` in words; `samples_per_s` it learned; `by_hour`: recall@20 by hour of the day."""

    meaning: str
    samples_per_s: float
    slices: dict[str, SliceResult]
    by_hour: tuple[float | None, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Recall@20 of one arm less that of another on a slice, over known clicks, with the 95 % interval by users.

    `relative`: the difference over the recall of `than`.
    """

    arm: str
    than: str
    slice: str
    difference: float
    low: float
    high: float
    relative: float


class Neighbour(msgspec.Struct, frozen=True):
    """An item, its clicks in the base's days, and the items whose vectors are nearest, with the cosine of each."""

    item: str
    clicks: int
    nearest: tuple[tuple[str, float], ...]


class SeedSettings(msgspec.Struct, frozen=True):
    """What one seed's base was told: its id, the online settings and the scale of own rows that calibration chose on
    `calibrated_on` (empty: nothing was calibrated), and what the arms without trend prior were given."""

    seed: int
    base_id: str
    calibrated_on: str
    online: dict[str, float]
    own_scale: float
    without_trend: dict[str, float]


class Evaluation(msgspec.Struct, frozen=True):
    """The whole document. `coverage`: share of the day's clicks on candidates, which are the base's items."""

    log: str
    base_days: tuple[str, ...]
    judged_day: str
    day_zone: str
    interval_ms: int
    partitions: int
    clicks: int
    users: int
    candidates: int
    coverage: float
    best_frozen: str
    capture_ratio: float | None
    seeds: tuple[SeedSettings, ...]
    arms: dict[str, ArmResult]
    comparisons: tuple[Comparison, ...]
    neighbours: tuple[Neighbour, ...]
    schema: str = SCHEMA


def encode(evaluation: Evaluation) -> bytes:
    """Return the document as indented JSON; the same evaluation gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(evaluation, order="sorted"), indent=1) + b"\n"


def decode(data: bytes, what: str) -> Evaluation:
    """Read a document. Raises `Corrupt`."""
    try:
        found = msgspec.json.decode(data, type=Evaluation)
    except msgspec.MsgspecError as error:
        raise Corrupt(what, str(error)) from None
    if found.schema != SCHEMA:
        raise Corrupt(what, f"its schema: {found.schema!r}")
    return found


def slice_result(seeds: Sequence[Figures]) -> SliceResult:
    """Return the mean and spread over seeds; clicks and known ones are those of the first."""
    names = [name for name in Figures.__struct_fields__ if name not in {"clicks", "known"}]
    return SliceResult(seeds[0].clicks, seeds[0].known, *(_spread([getattr(f, name) for f in seeds]) for name in names))


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values)))
