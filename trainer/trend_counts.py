"""The trend counts of one (base, partition), as committed and as they are now: arrays over item codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contracts.arrays import Doubles, Integers
from contracts.bases import OpenBase
from contracts.trend import decayed, prior, weights
from trainer.item_codes import ItemCodes


class TrendCounts:
    """Forward-decayed clicks per item: the base's, everybody's at the cut, and this partition's since.

    What the partition sees stands for all of them: its counts are multiplied by the number of partitions.
    """

    def __init__(
        self, base: OpenBase, items: ItemCodes, at_cut: Mapping[str, float], committed: Mapping[str, float]
    ) -> None:
        self._online, self._items = base.manifest.online, items
        self._t0, self._partitions = base.manifest.trend_t0, base.manifest.partitions
        self._at_cut = self._array(at_cut)[: items.known]
        self._now = self._array(committed)
        self._shown = self._now[: items.known].copy()
        self._touched: list[Integers] = []

    def clicks(self, now: int, at: Integers | None = None) -> Doubles:
        """Return the decayed clicks at `now` (ms) of the base's items, float64 [N], or of those `at` positions."""
        where = slice(0, self._items.known) if at is None else at
        return self._decayed(self._at_cut[where] + self._partitions * self._now[where], now)

    def shown_clicks(self, now: int) -> Doubles:
        """Return the same of the committed counts, float64 [N]."""
        return self._decayed(self._at_cut + self._partitions * self._shown, now)

    def own_counts(self) -> Doubles:
        """Return this partition's forward-decayed counts of the base's items, not those at the cut, float64 [N]."""
        return self._now[: self._items.known]

    def term(self, clicks: Doubles) -> Doubles:
        """Return the prior's part of the score, of the shape of `clicks`."""
        return prior(clicks, self._online.beta, self._online.floor)

    def add(self, codes: Integers, times: Integers) -> None:
        """Count clicks on items, int64 [n] codes, at `times`, int64 [n] ms."""
        self._fit()
        np.add.at(self._now, codes, weights(times, self._t0, self._online.half_life_ms))
        self._touched.append(codes)

    def fresh(self) -> dict[str, float]:
        """Return the counts that changed since the last commit."""
        if not self._touched:
            return {}
        codes = np.unique(np.concatenate(self._touched))
        return dict(zip([self._items.ids[code] for code in codes.tolist()], self._now[codes].tolist(), strict=True))

    def commit(self) -> None:
        """The counts now are committed."""
        np.copyto(self._shown, self._now[: self._items.known])
        self._touched.clear()

    def _decayed(self, counts: Doubles, now: int) -> Doubles:
        return decayed(counts, now, self._t0, self._online.half_life_ms)

    def _array(self, counts: Mapping[str, float]) -> Doubles:
        codes = self._items.of(list(counts))
        found = np.zeros(len(self._items), np.float64)
        found[codes] = list(counts.values())
        return found

    def _fit(self) -> None:
        """Make room for items that got a code since."""
        if len(self._now) < len(self._items):
            self._now = np.concatenate([self._now, np.zeros(len(self._items), np.float64)])
