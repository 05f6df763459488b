"""The result document of an experiment, `freshet.experiment/1`; docs/experiments.md says what each key means.

Figures are shares; each is a mean over the seeds of its run, beside its standard deviation over them.
"""

from __future__ import annotations

import msgspec

from contracts.errors import Corrupt
from trainer.evaluation.results import Comparison, SliceResult, Spread

SCHEMA = "freshet.experiment/1"


class ArmFigures(msgspec.Struct, frozen=True):
    """How an arm did, by slice. `truth`: share of what each user truly liked most among the first 20, where known."""

    slices: dict[str, SliceResult]
    truth: Spread | None = None


class RunResult(msgspec.Struct, frozen=True):
    """One of the things that are compared. `minutes`: between two versions, 0 where that is not what is compared.

    `seconds`: of each seed; few where the bases were there.
    """

    name: str
    meaning: str
    minutes: float
    seeds: tuple[int, ...]
    seconds: tuple[float, ...]
    arms: dict[str, ArmFigures]


class Experiment(msgspec.Struct, frozen=True):
    """The whole document. `comparisons`: of the same arm in another run than the first, of another arm in one run; an
    arm is told as `run: arm`. `not_made`: runs, with their seeds, that the time, or an interruption, left out."""

    name: str
    asks: str
    command: str
    measure: str
    log: str
    base_days: tuple[str, ...]
    judged_day: str
    day_zone: str
    interval_ms: int
    clicks: int
    runs: tuple[RunResult, ...]
    not_made: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    schema: str = SCHEMA


def encode(found: Experiment) -> bytes:
    """Return the document as indented JSON; the same experiment gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


def decode(data: bytes, what: str) -> Experiment:
    """Read a document. Raises `Corrupt`."""
    try:
        found = msgspec.json.decode(data, type=Experiment)
    except msgspec.MsgspecError as error:
        raise Corrupt(what, str(error)) from None
    if found.schema != SCHEMA:
        raise Corrupt(what, f"its schema: {found.schema!r}")
    return found
