"""What drift two days showed, side by side, to set thresholds by: `python -m examples.quiet_days --root run A B`.

A and B are bases; the online update has folded the day after A onto A, and the day after B onto B. Figures are means
over partitions, the highest that held for two intervals: that is what the alerts of infra/prometheus/ ask for.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from contracts import deltas
from contracts.arrays import Doubles
from contracts.bases import BaseStore
from contracts.deltas import Delta
from contracts.drift import Drift
from contracts.errors import FreshetError, MissingInput
from contracts.layout import Layout

LEAST_SAMPLES = 1000  # of all partitions in an interval, for its contexts to be looked at
Interval = list[tuple[Delta, Drift]]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.quiet_days", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("var/run"), help="run folder (default: var/run)")
    parser.add_argument("before", metavar="A", help="the base that one day was folded onto")
    parser.add_argument("after", metavar="B", help="the base that the next day was folded onto")
    given = parser.parse_args(argv)
    try:
        days = [intervals(Layout(given.root), base) for base in (given.before, given.after)]
    except FreshetError as error:
        print(f"quiet_days: {error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an interval without clicks no mean is known
        print_table(days)
    return 0


def intervals(layout: Layout, base_id: str) -> list[Interval]:
    """Return the deltas of a base with their drift, by interval and partition. Raises `MissingInput`."""
    base = BaseStore(layout).open(base_id)
    found = []
    for partition in range(base.manifest.partitions):
        chain = deltas.chain(layout, base_id, partition)
        pairs = [(entry.body, deltas.drift_of(chain, entry)) for entry in chain.entries()]
        found.append([(body, drift) for body, drift in pairs if drift])
    if not all(found):
        raise MissingInput(f"base {base_id} has no drift records", hint="Fold a day: `freshet trainer online`.")
    return [list(each) for each in zip(*found, strict=False)]


def mean(day: Sequence[Interval], value: Callable[[Delta, Drift], float | None]) -> Doubles:
    """Return a figure by interval, the mean of the partitions that have it, float64 [n]; NaN where none has."""
    found = [[value(body, drift) for body, drift in interval] for interval in day]
    return np.array([np.nanmean(np.array(each, dtype=np.float64)) for each in found])


def held(values: Doubles) -> float:
    """Return the highest value that two intervals running reached."""
    return float(np.nanmax(np.minimum(values[1:], values[:-1]), initial=-np.inf))


def print_table(days: Sequence[Sequence[Interval]]) -> None:
    """Print what each day reached at most, and the second one beside the first at the same hour."""
    table = Table("kind", "A", "B", "B beside A at the same hour", title="highest values held for two intervals")
    for name, value, factor in (
        ("rows: median degrees", lambda _, d: d.angle.p50 if d.angle else None, True),
        ("common row: distance", lambda _, d: d.common_distance, True),
        ("popularity above chance", lambda _, d: d.popularity.excess if d.popularity else None, False),
        ("clicks on unknown items", lambda b, _: b.trend_only / b.samples if b.samples else None, False),
    ):
        both = [mean(day, value) for day in days]
        first, second = (each[: min(map(len, both))] for each in both)
        beside = f"{held(second / first):.2f} times" if factor else f"{held(second - first):+.3f}"
        table.add_row(name, f"{held(both[0]):.3f}", f"{held(both[1]):.3f}", beside)
    drifts = [drift for day in days for interval in day for _, drift in interval]
    for feature in sorted({name for drift in drifts for name in (*drift.discrete, *drift.continuous)}):
        shown = [held(mean(_busy(day), _of_context(feature))) for day in days]
        table.add_row(f"context: {feature}", *(f"{each:.3f}" for each in shown), "–")
    Console().print(table)


def _busy(day: Sequence[Interval]) -> list[Interval]:
    return [each for each in day if sum(body.samples for body, _ in each) >= LEAST_SAMPLES]


def _of_context(feature: str) -> Callable[[Delta, Drift], float | None]:
    def value(_: Delta, drift: Drift) -> float | None:
        if feature in drift.discrete:
            return drift.discrete[feature].excess
        return abs(drift.continuous[feature]) if feature in drift.continuous else None

    return value


if __name__ == "__main__":
    sys.exit(main())
