"""The claims by name, in the order in which `freshet experiment all` tests them; light, for a list costs nothing."""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """A claim to be tested.

    `module` of this package has `runs(bench)`, the most telling ones first. `log`: which synthetic log is made where
    none is named. `measure`: the figure of `SliceResult` that its plot shows. `quick`, `whole`: about how long it takes
    on that log, on two cores, with one seed and with three.
    """

    name: str
    module: str
    asks: str
    log: tuple[str, ...]
    measure: str
    quick: str
    whole: str


TASTES = ("--mix", "0")

CLAIMS = (
    Claim(
        "order",
        "order",
        "does training on shuffled days beat training in the order of time?",
        (),
        "recall20",
        "2 min",
        "5 min",
    ),
    Claim(
        "nightly",
        "nightly",
        "nightly retrain only, online update only for several days, or both?",
        ("--days", "7"),
        "recall20_all",
        "2 min",
        "4 min",
    ),
    Claim(
        "warm-start",
        "warm_start",
        "warm start from the last full base, or from what was learned online on top of it?",
        TASTES,
        "recall20",
        "1 min",
        "3 min",
    ),
    Claim(
        "interval",
        "interval",
        "how often is it worth publishing: every 5 hours, hour, 30, 10 minutes, or minute?",
        (),
        "recall20",
        "1 min",
        "3 min",
    ),
    Claim(
        "negatives",
        "negatives",
        "easy or hard negatives, and what is the mistake of taking shown-not-clicked for negatives worth?",
        TASTES,
        "recall20",
        "4 min",
        "10 min",
    ),
    Claim(
        "objectives",
        "objectives",
        "which objective, width, batch size, negatives and step?",
        TASTES,
        "recall20",
        "3 min",
        "8 min",
    ),
)
