"""The items of a base as serving scores them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from contracts import item_space
from contracts.arrays import Floats, Integers
from contracts.bases import OpenBase
from contracts.catalogue import FreshItems


@dataclass(frozen=True)
class Catalogue:
    """`vectors`: float32 [items, width + 1] in the space of `contracts.item_space`. `row_of`: row by id."""

    ids: list[str]
    vectors: Floats
    row_of: dict[str, int]

    @classmethod
    def of(cls, base: OpenBase, bias_weight: float) -> Catalogue:
        """Return the catalogue of a base's items, their biases weighted."""
        items = base.items
        vectors = item_space.item_vectors(items, base.manifest.towers, bias_weight)
        return cls(items.ids, vectors, {item: row for row, item in enumerate(items.ids)})

    def with_fresh(self, fresh: FreshItems) -> Catalogue:
        """Return this catalogue and, behind it, items that the base does not know; they have no bias."""
        if not fresh.ids:
            return self
        ids = [*self.ids, *fresh.ids]
        more = np.hstack([fresh.vectors, np.zeros((len(fresh.ids), 1), np.float32)])
        added = {item: len(self.ids) + n for n, item in enumerate(fresh.ids)}
        return Catalogue(ids, np.ascontiguousarray(np.vstack([self.vectors, more])), {**self.row_of, **added})

    def rows(self, item_ids: Iterable[str]) -> Integers:
        """Return the rows of those ids that are known, int64, sorted."""
        known = {self.row_of.get(item) for item in item_ids}
        return np.array(sorted(row for row in known if row is not None), dtype=np.int64)

    def scores(self, query: Floats, rows: Integers) -> Floats:
        """Return the inner products of one query with some items, float32 [rows]."""
        return np.asarray(self.vectors[rows] @ query, dtype=np.float32)
