"""The trend table: decayed clicks per item. A pure fold of samples; partitions merge by plain sums.

Counts are forward-decayed (Cormode et al. 2009, "Forward decay", section III): a click at time t adds
2^((t - t0) / half-life), so that a count changes only when its item is clicked; t0 is the base's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from contracts.arrays import Doubles, Floats, Integers

MAX_EXPONENT = 900.0
NEGLIGIBLE = 1e-3  # of the floor: what so few clicks add to a score is below beta * 1e-3


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


def lasting(counts: Mapping[str, float], clicks: Doubles, floor: float) -> tuple[list[str], Doubles]:
    """Return the items that are clicked now, sorted, and their decayed `clicks`; those of `counts`, in its order.

    An item whose clicks have decayed to less than `NEGLIGIBLE` of the floor is not, so that the table holds what is
    clicked now, however long a base is served.
    """
    names, left = list(counts), np.flatnonzero(clicks >= NEGLIGIBLE * floor).tolist()
    left.sort(key=names.__getitem__)
    return [names[n] for n in left], clicks[left]


def mean_vector(vectors: Floats, priors: Doubles) -> Floats:
    """Return the mean of `vectors`, float32 [n, d], weighted by the softmax of `priors`; zeros for none.

    It stands in for the vector of a trending item that has none.
    """
    if not len(priors):
        return np.zeros(vectors.shape[1], dtype=np.float32)
    shares = np.exp(priors - priors.max())
    return np.asarray(shares @ vectors / shares.sum(), dtype=np.float32)
