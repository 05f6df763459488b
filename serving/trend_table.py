"""The trend table of one version: the few items that are clicked now, and what that adds to their score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contracts import trend
from contracts.arrays import Doubles, Integers
from contracts.bases import Base
from serving.catalogue import Catalogue


@dataclass(frozen=True)
class TrendTable:
    """`rows` (int64, sorted) are the table's items that have a vector, `priors` (float64) their term of the score.

    `strangers` have no vector: `stranger_priors` is their whole score. Every other item has the prior `floor`.
    """

    rows: Integers
    priors: Doubles
    strangers: tuple[str, ...]
    stranger_priors: Doubles
    floor: float

    @classmethod
    def empty(cls) -> TrendTable:
        """Return a table that adds nothing to any score: trend switched off."""
        none = np.zeros(0, dtype=np.float64)
        return cls(np.zeros(0, dtype=np.int64), none, (), none, 0.0)

    @classmethod
    def of(cls, counts: Mapping[str, float], base: Base, now: int, catalogue: Catalogue) -> TrendTable:
        """Return the table of forward-decayed `counts`, decayed to `now` (ms); empty where the base sets beta to 0."""
        online = base.online
        if not online.beta:
            return cls.empty()
        items = sorted(counts)
        clicks = trend.decayed(np.array([counts[i] for i in items]), now, base.trend_t0, online.half_life_ms)
        priors = trend.prior(clicks, online.beta, online.floor)
        rows = np.array([catalogue.row_of.get(item, -1) for item in items], dtype=np.int64)
        order = np.argsort(rows, kind="stable")
        order = order[rows[order] >= 0]
        strange = np.flatnonzero(rows < 0)
        floor = float(trend.prior(np.zeros(1), online.beta, online.floor)[0])
        return cls(rows[order], priors[order], tuple(items[n] for n in strange), priors[strange], floor)

    def priors_of(self, rows: Integers) -> Doubles:
        """Return the prior of each item in `rows`, float64."""
        found = np.full(len(rows), self.floor)
        if len(self.rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            known = self.rows[at] == rows
            found[known] = self.priors[at[known]]
        return found
