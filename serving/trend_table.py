"""The trend table of one version: the few items that are clicked now, and what that adds to their score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from contracts import trend
from contracts.arrays import Doubles, Floats, Integers
from contracts.bases import Base
from serving.catalogue import Catalogue


@dataclass(frozen=True)
class TrendTable:
    """`rows` (int64, sorted) are the table's items that have a vector, `vectors` those, float32 [n, width + 1] in one
    piece, `priors` (float64) their term of the score.

    `strangers` have no vector, and `stranger_priors` for that term. What stands in for their vector is `mean_vector`,
    float32 [width + 1]: the mean of the known items' vectors, weighted by exp(prior). Every other item has the prior
    `floor`: also one whose clicks have decayed to less than `NEGLIGIBLE` of the floor (`contracts.trend`).
    Such an item without a vector is no candidate any more.
    """

    rows: Integers
    vectors: Floats
    priors: Doubles
    strangers: tuple[str, ...]
    stranger_priors: Doubles
    mean_vector: Floats
    floor: float

    @classmethod
    def empty(cls) -> TrendTable:
        """Return a table that adds nothing to any score: trend switched off."""
        none, nowhere = np.zeros(0, dtype=np.float64), np.zeros((0, 0), dtype=np.float32)
        return cls(np.zeros(0, dtype=np.int64), nowhere, none, (), none, np.zeros(0, dtype=np.float32), 0.0)

    @classmethod
    def of(cls, counts: Mapping[str, float], base: Base, now: int, catalogue: Catalogue) -> TrendTable:
        """Return the table of forward-decayed `counts`, decayed to `now` (ms); empty where the base sets beta to 0."""
        online = base.online
        if not online.beta:
            return cls.empty()
        everything = np.fromiter(counts.values(), np.float64, len(counts))
        clicks = trend.decayed(everything, now, base.trend_t0, online.half_life_ms)
        items, clicks = trend.lasting(counts, clicks, online.floor)
        priors = trend.prior(clicks, online.beta, online.floor)
        rows = np.array([catalogue.row_of.get(item, -1) for item in items], dtype=np.int64)
        order = np.argsort(rows, kind="stable")
        order = order[rows[order] >= 0]
        strange = np.flatnonzero(rows < 0)
        floor = float(trend.prior(np.zeros(1), online.beta, online.floor)[0])
        vectors = np.ascontiguousarray(catalogue.vectors[rows[order]])
        mean = trend.mean_vector(vectors, priors[order])
        strangers = tuple(items[n] for n in strange)
        return cls(rows[order], vectors, priors[order], strangers, priors[strange], mean, floor)

    @cached_property
    def places(self) -> dict[int, int]:
        """Where each of `rows` stands in it."""
        return {row: place for place, row in enumerate(self.rows.tolist())}

    @cached_property
    def best_strangers(self) -> list[int]:
        """Positions of all strangers, the highest prior first: their order in every answer."""
        order: list[int] = np.argsort(-self.stranger_priors, kind="stable").tolist()
        return order

    def scores(self, query: Floats, without: Iterable[int]) -> Doubles:
        """Return the scores of the items in `rows` for one query, float64; of the rows `without` minus infinity."""
        if not len(self.rows):
            return np.zeros(0)
        found = self.vectors @ query + self.priors
        for row in without:
            if (place := self.places.get(row)) is not None:
                found[place] = -np.inf
        return np.asarray(found, dtype=np.float64)

    def stranger_scores(self, query: Floats) -> Doubles:
        """Return the scores of all strangers for one query, float64: their priors, and the fit of the mean vector.

        That fit is the mean of the known items' scores without trend, weighted by exp(prior), for scores are linear in
        the vector. It is 0 where the table has no known item.
        """
        if not len(self.strangers):
            return self.stranger_priors
        return self.stranger_priors + float(self.mean_vector @ query)
