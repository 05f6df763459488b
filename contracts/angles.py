"""How far vectors turned."""

from __future__ import annotations

import numpy as np

from contracts.arrays import Doubles, Floats


def angles(now: Floats, before: Floats) -> Doubles:
    """Return the degrees between each row of `now` and of `before`, float32 [n, d], as float64 [n].

    0 where one of the two has no direction.
    """
    one, other = now.astype(np.float64), before.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = np.divide(np.vecdot(one, other), lengths, out=np.ones_like(lengths), where=lengths > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))), dtype=np.float64)


def angle(now: Floats, before: Floats) -> float:
    """Return the degrees between two vectors, float32 [d]; 0 where one has no direction."""
    return float(angles(now[np.newaxis], before[np.newaxis])[0])
