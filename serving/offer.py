"""What a version may show: the base's items and those that came since, without the ones that are not available."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from contracts import served
from contracts.arrays import Floats
from contracts.bases import Base
from contracts.catalogue import FRESH, FreshItems, unpack_fresh
from contracts.chain import Entry
from contracts.layout import Layout
from contracts.served import Served
from serving.catalogue import Catalogue


@dataclass(frozen=True)
class Offer:
    """`catalogue`: the base's items, and behind row `known` the fresh ones. `hidden`: items that may not be shown.

    `digest`: of the item events that it comes of, empty for none. `fresh_rows`: those fresh items that may be shown and
    are in no trend table; `fresh_vectors`, float32 [n, width + 1], theirs in one piece: they are in no index, and are
    scored one and all.
    """

    digest: str
    fresh: FreshItems
    catalogue: Catalogue
    known: int
    hidden: frozenset[str]
    hidden_rows: frozenset[int]
    fresh_rows: list[int]
    fresh_vectors: Floats

    @classmethod
    def of(cls, digest: str, fresh: FreshItems, catalogue: Catalogue, now: int) -> Offer:
        """Return the offer of a base's `catalogue` and fresh items at `now` (ms)."""
        known, whole = len(catalogue.ids), catalogue.with_fresh(fresh)
        hidden = frozenset(fresh.hidden(now))
        hidden_rows = frozenset(row for item in hidden if (row := whole.row_of.get(item)) is not None)
        shown = [row for row in range(known, len(whole.ids)) if row not in hidden_rows]
        vectors = np.ascontiguousarray(whole.vectors[shown])
        return cls(digest, fresh, whole, known, hidden, hidden_rows, shown, vectors)

    def without(self, rows: Container[int]) -> Offer:
        """Return the offer whose `fresh_rows` lack some, which are scored elsewhere."""
        left = [place for place, row in enumerate(self.fresh_rows) if row not in rows]
        if len(left) == len(self.fresh_rows):
            return self
        kept = [self.fresh_rows[place] for place in left]
        return replace(self, fresh_rows=kept, fresh_vectors=np.ascontiguousarray(self.fresh_vectors[left]))

    @cached_property
    def places(self) -> dict[int, int]:
        """Where each of `fresh_rows` stands in it."""
        return {row: place for place, row in enumerate(self.fresh_rows)}


def offer_of(layout: Layout, entry: Entry[Served], base: Base, catalogue: Catalogue, former: Offer | None) -> Offer:
    """Return what a served version offers. Raises `Corrupt` or `ChainBroken` naming the file of its items."""
    digest = entry.body.catalogue
    if not digest:
        fresh = FreshItems([], np.zeros((0, base.towers.width), np.float32))
    elif former and former.digest == digest:
        fresh = former.fresh
    else:
        chain = served.chain(layout)
        fresh = unpack_fresh(chain.data(entry, FRESH), base.towers.width, f"the items of version {entry.number}")
    return Offer.of(digest, fresh, catalogue, entry.body.trend_time)
