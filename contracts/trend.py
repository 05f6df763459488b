"""The trend table: decayed clicks per item. A pure fold of samples; partitions merge by plain sums.

Counts are forward-decayed (Cormode et al. 2009, "Forward decay", section III): a click at time t adds
2^((t - t0) / half-life), so that a count changes only when its item is clicked; t0 is the base's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from contracts.arrays import Doubles, Integers

MAX_EXPONENT = 900.0


def weights(event_times: Integers, t0: int, half_life_ms: int) -> Doubles:
    """Return what clicks at `event_times` (int64, ms) add to the counts of their items; finite for any time."""
    exponents = (event_times - t0) / half_life_ms
    return np.asarray(np.exp2(np.clip(exponents, -MAX_EXPONENT, MAX_EXPONENT)), dtype=np.float64)


def weight(event_time: int, t0: int, half_life_ms: int) -> float:
    """Return what a click at `event_time` (ms) adds to the count of its item; finite for any time."""
    exponent = (event_time - t0) / half_life_ms
    return float(np.exp2(min(max(exponent, -MAX_EXPONENT), MAX_EXPONENT)))


def decayed(counts: Doubles, now: int, t0: int, half_life_ms: int) -> Doubles:
    """Return the decayed clicks at time `now` (ms): counts times 2^-((now - t0) / half-life)."""
    return np.asarray(counts * weight(2 * t0 - now, t0, half_life_ms), dtype=np.float64)


def prior(clicks: Doubles, beta: float, floor: float) -> Doubles:
    """Return the term of the score: beta * log(decayed clicks + floor); `floor` > 0."""
    return np.asarray(beta * np.log(clicks + floor), dtype=np.float64)


def merged(tables: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sum tables of forward-decayed counts with one t0, in their order."""
    total: dict[str, float] = {}
    for table in tables:
        if not total:
            total = dict(table)
            continue
        for item, count in table.items():
            total[item] = total.get(item, 0.0) + count
    return total
