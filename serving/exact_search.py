"""Exact search over the base's item vectors in numpy: for measuring, for tests, and where Milvus is away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.arrays import Floats, Integers
from serving.catalogue import Catalogue

BLOCK = 64  # queries scored at once: bounds the memory of a large batch


@dataclass(frozen=True)
class Found:
    """For each query the rows (int64) of its nearest items, in any order, and in words who found them."""

    rows: list[Integers]
    how: str


class ExactSearch:
    """Scores every item of the base."""

    def __init__(self, catalogue: Catalogue, how: str = "exact") -> None:
        self._catalogue = catalogue
        self._how = how

    def search(self, queries: Floats, k: int) -> Found:
        """Return the `k` items of largest inner product for each of `queries`, float32 [n, width + 1]."""
        k = min(k, len(self._catalogue.ids))
        if not k:
            return Found([np.zeros(0, dtype=np.int64) for _ in queries], self._how)
        blocks = (queries[first : first + BLOCK] for first in range(0, len(queries), BLOCK))
        return Found([rows for block in blocks for rows in self._nearest(block, k)], self._how)

    def close(self) -> None:
        """Nothing is held."""

    def _nearest(self, queries: Floats, k: int) -> Integers:
        scores = queries @ self._catalogue.vectors.T
        return np.argpartition(-scores, k - 1, axis=1)[:, :k].astype(np.int64)
