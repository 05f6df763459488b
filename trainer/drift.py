"""How far the online state is from its base, and today's clicks from the base's last training day.

Everything is counted over one publish interval, of one partition: a record depends on base and samples alone, costs
what the interval touched, and is the same wherever the log was cut and whenever a process died.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from contracts.angles import angle, angles
from contracts.arrays import Doubles, Floats, Integers
from contracts.bases import OpenBase
from contracts.days import hours_of
from contracts.drift import Drift, Shift, Spread
from contracts.features import FeatureSpec
from contracts.rows import RowTable
from trainer.block_input import EncodedBlock
from trainer.last_day import FLAT, HOURS, LastDay, last_day_of
from trainer.negatives import numbers_of

DRAWN = 4096  # clicks drawn at least for what chance alone does ...
MOST_DRAWS = 16  # ... in so many samples at most
QUANTILES = (0.5, 0.9, 0.99, 1.0)
POPULARITY, CONTEXT = "popularity", "context"


def divergence(found: Doubles, known: Doubles) -> float:
    """Return the Jensen-Shannon divergence of two mixes in bits: 0 the same, 1 nothing in common.

    `found`, `known`: shares of the same values, float64 [n]. `found` sums to one; what `known` lacks to one lies on
    values that were not found, so they need not be looked at. (Lin 1991, "Divergence measures based on the Shannon
    entropy", with equal weights.)
    """
    middle = (found + known) / 2
    apart = _bits(found, middle) + _bits(known, middle) + 1.0 - float(known.sum())
    return min(max(apart / 2, 0.0), 1.0)


def _bits(shares: Doubles, middle: Doubles) -> float:
    some = shares > 0
    return float(np.sum(shares[some] * np.log2(shares[some] / middle[some])))


@dataclass(frozen=True)
class Mix:
    """How clicks are spread over values: `shares`, float64 [n], that sum to one; `edges`: the same added up.

    `seen`: from how many clicks that is known.
    """

    shares: Doubles
    edges: Doubles
    seen: int

    @classmethod
    def of(cls, weights: Doubles, seen: int) -> Self:
        """Return the mix of weights, float64 [n], of which one at least is above 0."""
        edges = np.cumsum(weights)
        return cls(weights / edges[-1], edges / edges[-1], seen)

    def by_chance(self, clicks: int, numbers: np.random.Generator) -> float:
        """Return the mean divergence of so many clicks from `seen` clicks, both drawn from this mix.

        Few are drawn several times. Of the `seen` ones only those on values that were drawn need be known.
        """
        found = []
        for _ in range(min(-(-DRAWN // clicks), MOST_DRAWS)):
            drawn = np.searchsorted(self.edges, numbers.random(clicks), side="right")
            values, counts = np.unique(np.minimum(drawn, len(self.edges) - 1), return_counts=True)
            shares = np.append(self.shares[values], max(1.0 - float(self.shares[values].sum()), 0.0))
            known = numbers.multinomial(self.seen, shares / shares.sum())[:-1] / self.seen
            found.append(divergence(counts / clicks, known))
        return float(np.mean(found))


def spread(measured: Doubles) -> Spread | None:
    """Return the quantiles of what was measured row by row, float64 [n]; None without rows."""
    return Spread(*np.quantile(measured, QUANTILES).tolist()) if len(measured) else None


class IntervalContexts:
    """What the contexts of an interval's samples carry, while blocks come; the base knows C continuous features.

    `hours`: int64 [24], samples by the hour of the day, that of their block's first. `values`: for each discrete
    feature int64 [values + 1], by code. `sums`: float64 [C], of the standardised numbers.
    """

    def __init__(self, spec: FeatureSpec, day_zone: str) -> None:
        self._zone = day_zone
        self.hours = np.zeros(HOURS, np.int64)
        self.values = [np.zeros(len(feature.values) + 1, np.int64) for feature in spec.discrete]
        self.sums = np.zeros(len(spec.continuous))

    def add(self, block: EncodedBlock) -> None:
        """Count a block's samples."""
        real = len(block.samples)
        self.hours[hours_of(block.samples.watermarks[:1], self._zone)] += real
        for column, counts in enumerate(self.values):
            counts += np.bincount(block.codes[:real, column], minlength=len(counts))
        self.sums += block.numbers[:real].sum(axis=0, dtype=np.float64)


@dataclass(frozen=True)
class Interval:
    """What one publish interval left: the common row, float32 [width], the touched rows, and its clicks.

    It begins with the sample `first_ordinal`, ends before `next_ordinal`, at `boundary` (ms). `items` are distinct,
    `clicks`: int64 [items].
    """

    first_ordinal: int
    next_ordinal: int
    boundary: int
    common: Floats
    rows: RowTable
    items: Sequence[str]
    clicks: Integers
    contexts: IntervalContexts


class DriftMeter:
    """Measures the drift of one (base, partition); knows what the base and its day were, and holds no state."""

    def __init__(self, base: OpenBase, partition: int) -> None:
        self._base, self._partition = base, partition
        self._name = f"drift {base.digest}/{partition}"
        day = last_day_of(base)
        self._day = _Day(day, base.manifest.towers.context) if day else None

    @property
    def lacking(self) -> tuple[str, ...]:
        """What cannot be measured, for the base does not say what its last training day was."""
        return () if self._day else (POPULARITY, CONTEXT)

    def measure(self, interval: Interval) -> Drift:
        """Return the record of an interval."""
        base, rows, common = self._base, interval.rows, self._base.common
        at = np.array([base.rows.position(user) for user in rows.users], dtype=np.int64)
        known = np.flatnonzero(at >= 0)
        now, before = rows.own[known], base.rows.own[at[known]]
        moved = np.linalg.norm(now.astype(np.float64) - before, axis=1)
        day, numbers = self._day, numbers_of(self._name, interval.first_ordinal)
        clicked = day and len(interval.items)
        hours_known = clicked and day and day.knows(interval.contexts)
        return Drift(
            base_id=base.manifest.base_id,
            partition=self._partition,
            first_ordinal=interval.first_ordinal,
            next_ordinal=interval.next_ordinal,
            watermark=interval.boundary,
            touched_known=len(known),
            touched_new=len(at) - len(known),
            distance=spread(moved),
            angle=spread(angles(common + now, common + before)),
            common_distance=float(np.linalg.norm(interval.common.astype(np.float64) - common)),
            common_angle=angle(interval.common, common),
            popularity=day.popularity(interval.items, interval.clicks, numbers) if day and clicked else None,
            discrete=day.discrete(interval.contexts, numbers) if day and hours_known else {},
            continuous=day.continuous(interval.contexts) if day and hours_known else {},
            lacking=self.lacking,
        )


class _Day:
    """A base's last training day as clicks are compared with it; contexts only where it had clicks at that hour."""

    def __init__(self, day: LastDay, spec: FeatureSpec) -> None:
        self._spec = spec
        self._at = {item: at for at, item in enumerate(day.clicks)}
        self._items = Mix.of(np.array(list(day.clicks.values()), dtype=np.float64), int(day.hours.sum()))
        self._hours, self._means = day.hours, day.means
        self._values = [values / np.maximum(day.hours, 1)[:, None] for values in day.values]
        self._deviations = np.where(day.deviations >= FLAT, day.deviations, 1.0)

    def popularity(self, items: Sequence[str], clicks: Integers, numbers: np.random.Generator) -> Shift:
        """Compare clicks, int64 [items], with those of the day."""
        at = np.array([self._at.get(item, -1) for item in items], dtype=np.int64)
        return _shift(clicks, np.where(at >= 0, self._items.shares[at], 0.0), self._items, numbers)

    def knows(self, contexts: IntervalContexts) -> bool:
        """Tell whether the day had clicks at all hours of an interval."""
        return bool(np.all(self._hours[contexts.hours > 0] > 0))

    def discrete(self, contexts: IntervalContexts, numbers: np.random.Generator) -> dict[str, Shift]:
        """Compare the values of each discrete feature with those of the day's same hours."""
        found, weights = {}, contexts.hours / contexts.hours.sum()
        seen = int(self._hours[contexts.hours > 0].sum())
        for feature, counts, values in zip(self._spec.discrete, contexts.values, self._values, strict=True):
            mix = Mix.of(weights @ values, seen)
            found[feature.name] = _shift(counts, mix.shares, mix, numbers)
        return found

    def continuous(self, contexts: IntervalContexts) -> dict[str, float]:
        """Return by how many of the day's deviations the mean of each number is off that of the day's same hours."""
        count = contexts.hours.sum()
        shifts = (contexts.sums - contexts.hours @ self._means) / count / self._deviations
        return dict(zip([feature.name for feature in self._spec.continuous], shifts.tolist(), strict=True))


def _shift(counts: Integers, known: Doubles, mix: Mix, numbers: np.random.Generator) -> Shift:
    clicks = int(counts.sum())
    return Shift(divergence(counts / clicks, known), mix.by_chance(clicks, numbers))
