"""The distinct contexts of a batch: many samples share one, and a tower has to see it only once."""

from __future__ import annotations

import numpy as np

from contracts.arrays import Floats, Integers

_SEED = 1


def distinct_rows(codes: Integers, numbers: Floats) -> tuple[Integers, Integers]:
    """Return `first` and `at`, so that `codes[first][at]` is `codes`, int64 [n, F], and with `numbers` alike, [n, C].

    Rows are told apart by a random sum of theirs, modulo 2^64 (Carter and Wegman 1979, "Universal classes of hash
    functions"), which is many times as quick as sorting them; should two different ones share it, all are returned.
    """
    whole = np.hstack([codes, numbers.view(np.int32).astype(np.int64)])
    factors = np.random.default_rng(_SEED).integers(np.iinfo(np.int64).max, size=whole.shape[1], dtype=np.int64) | 1
    _, first, at = np.unique(whole @ factors, return_index=True, return_inverse=True)
    if not np.array_equal(whole[first[at]], whole):
        return np.arange(len(whole)), np.arange(len(whole))
    return first, at
