"""Negatives from counter-based random numbers, so that who draws when leaves no trace.

Philox 4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), keyed by a name, counted by block.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from contracts.arrays import Doubles, Floats, Integers

POWER = 0.75


def numbers_of(name: str, block: int) -> np.random.Generator:
    """Return the random numbers of one block (its first ordinal, a step) under `name` (a base and a partition)."""
    return np.random.Generator(np.random.Philox(key=_key(name), counter=block << 192))


@lru_cache(maxsize=1024)
def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")


class CountSampler:
    """Draws items in proportion to weight^0.75 (word2vec's exponent), with replacement."""

    def __init__(self, weights: Doubles) -> None:
        powered = np.power(weights, POWER)
        self._edges = np.cumsum(powered)
        self._log_share = np.log(powered / self._edges[-1])

    def draw(self, numbers: np.random.Generator, count: int) -> Integers:
        """Return `count` item positions, int64 [count]."""
        at = numbers.random(count) * self._edges[-1]
        found = np.searchsorted(self._edges, at, side="right")
        return np.asarray(np.minimum(found, len(self._edges) - 1), dtype=np.int64)

    def draw_spread(self, numbers: np.random.Generator, count: int) -> Integers:
        """Return `count` item positions, int64 [count], in ascending order: one from each of `count` equal shares.

        Each item is expected as often as with `draw`, and its count varies less (stratified sampling, Cochran 1977,
        chapter 5); sorted numbers are also found several times as quickly.
        """
        at = (np.arange(count) + numbers.random(count)) * (self._edges[-1] / count)
        found = np.searchsorted(self._edges, at, side="right")
        return np.asarray(np.minimum(found, len(self._edges) - 1), dtype=np.int64)

    def log_expected(self, items: Integers, count: int) -> Floats:
        """Return the log of how often each of `items`, int64 [n], is expected among `count`: the logQ correction."""
        return np.asarray(self._log_share[items] + np.log(count), dtype=np.float32)
