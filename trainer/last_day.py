"""What the base's last training day looked like, click by click: what the online update measures drift against.

Contexts are counted by the hour of the day, for what they carry changes with the hour on the quietest of days; items
over the whole day. It costs what a base knows: items, and values of features, never samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from contracts.arrays import Arrays, Doubles, Floats, Integers, pack
from contracts.bases import OpenBase
from contracts.errors import Corrupt
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from trainer.context_columns import ContextColumns, FeatureCounts

LAST_DAY = "last_day.safetensors"
HOURS = 24
FLAT = 1e-6  # a standardised deviation below it is what rounding left of a number that stayed the same


@dataclass(frozen=True)
class LastDay:
    """One day's clicks; the base knows C continuous features.

    `clicks`: by item, those without a vector among them. `hours`: int64 [24], clicks by hour of the day. `values`: for
    each discrete feature of the base int64 [24, values + 1], clicks by hour and code, 0 being none or a value that the
    base does not know. `means`: float64 [24, C], of the standardised continuous features, a missing one counting as 0;
    `deviations`: float64 [C], of the same over the whole day, 0 for one that stayed the same.
    """

    clicks: dict[str, int]
    hours: Integers
    values: list[Integers]
    means: Doubles
    deviations: Doubles


class DayByHour:
    """What the contexts of a day carry, by the hour, while its samples come."""

    def __init__(self) -> None:
        self.clicks = np.zeros(HOURS, np.int64)
        self.features = [FeatureCounts() for _ in range(HOURS)]

    def add(self, columns: ContextColumns, coded: tuple[Integers, Floats], hours: Integers) -> None:
        """Count more samples, as `columns` has coded them, that were clicked at `hours`, int64 [n]."""
        codes, numbers = coded
        for hour in np.unique(hours).tolist():
            inside = hours == hour
            self.clicks[hour] += np.count_nonzero(inside)
            self.features[hour].add(columns, codes[inside], numbers[inside])


def pack_last_day(spec: FeatureSpec, columns: ContextColumns, by_hour: DayByHour, clicks: Mapping[str, int]) -> bytes:
    """Return the file that `last_day_of` reads, for a base whose towers eat the features of `spec`."""
    items = sorted(item for item, count in clicks.items() if count)
    values = [_by_code(feature, columns, by_hour) for feature in spec.discrete]
    moments = [_standardised(feature, by_hour) for feature in spec.continuous]
    return pack(
        {
            "items": items,
            "clicks": np.array([clicks[item] for item in items], dtype=np.int64),
            "hours": by_hour.clicks,
            "values": np.concatenate([np.zeros((HOURS, 0), np.int64), *values], axis=1),
            "means": np.array([means for means, _ in moments], dtype=np.float64).reshape(-1, HOURS).T,
            "deviations": np.array([deviation for _, deviation in moments], dtype=np.float64),
        }
    )


def last_day_of(base: OpenBase) -> LastDay | None:
    """Return what a base's last training day looked like, None for a base that does not say. Raises `Corrupt`."""
    if not any(file.name == LAST_DAY for file in base.manifest.files):
        return None
    return unpack_last_day(base.file(LAST_DAY), base.manifest.towers.context)


def unpack_last_day(data: bytes, spec: FeatureSpec) -> LastDay:
    """Return what a file of `pack_last_day` for the same features says. Raises `Corrupt`."""
    arrays, ends = Arrays(data, LAST_DAY), np.cumsum([0, *(len(each.values) + 1 for each in spec.discrete)])
    items = arrays.texts("items")
    clicks, hours = arrays.integers("clicks", len(items)), arrays.integers("hours", HOURS)
    values, numbers = arrays.integers("values", HOURS, int(ends[-1])), len(spec.continuous)
    means, deviations = arrays.doubles("means", HOURS, numbers), arrays.doubles("deviations", numbers)
    parts = [values[:, start:end] for start, end in pairwise(ends.tolist())]
    if len(set(items)) != len(items) or np.any(clicks < 1) or np.any(hours < 0):
        raise Corrupt(LAST_DAY, "its clicks")
    if not 0 < clicks.sum() == hours.sum():
        raise Corrupt(LAST_DAY, "its hours")
    if np.any(values < 0) or any(np.any(part.sum(axis=1) != hours) for part in parts):
        raise Corrupt(LAST_DAY, "its values")
    if not np.all(np.isfinite(means)) or not np.all(np.isfinite(deviations)) or np.any(deviations < 0):
        raise Corrupt(LAST_DAY, "its numbers")
    return LastDay(dict(zip(items, clicks.tolist(), strict=True)), hours, parts, means, deviations)


def _by_code(feature: DiscreteFeature, columns: ContextColumns, by_hour: DayByHour) -> Integers:
    """Return the clicks by hour and code, int64 [24, values + 1]."""
    found = np.zeros((HOURS, len(feature.values) + 1), np.int64)
    raw: Mapping[str | None, int] = columns.discrete.get(feature.name, {})
    for hour, counts in enumerate(each.values.get(feature.name, ()) for each in by_hour.features):
        for code, value in enumerate(feature.values, start=1):
            at = raw.get(value, len(counts))
            found[hour, code] = counts[at] if at < len(counts) else 0
    found[:, 0] = by_hour.clicks - found.sum(axis=1)
    return found


def _standardised(feature: ContinuousFeature, by_hour: DayByHour) -> tuple[list[float], float]:
    """Return the mean of a standardised feature by hour, and its deviation over the day."""
    clicks, whole = by_hour.clicks, max(int(by_hour.clicks.sum()), 1)
    found = [each.numbers.get(feature.name) for each in by_hour.features]
    means = np.array([(each.mean - feature.mean) / feature.deviation if each else 0.0 for each in found])
    spreads = np.array([each.deviation / feature.deviation if each else 0.0 for each in found])
    counts = np.array([each.count if each else 0 for each in found])
    sums = counts * means
    middle, missing = sums.sum() / whole, whole - counts.sum()
    squares = (counts * (spreads**2 + (means - middle) ** 2)).sum() + missing * middle**2
    deviation = float(np.sqrt(squares / whole))
    return (sums / np.maximum(clicks, 1)).tolist(), deviation if deviation >= FLAT else 0.0
