"""The trend counts of one (base, partition), as committed and as they are now: arrays over item codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contracts.arrays import Doubles, Integers
from contracts.bases import OpenBase
from contracts.trend import decayed, prior, weights
from trainer.text_codes import TextCodes, grown


class TrendCounts:
    """Forward-decayed clicks per item: the base's, everybody's at the cut, and this partition's since.

    What the partition sees stands for all of them: its counts are multiplied by the number of partitions. `at_cut`:
    everybody's of the base's items, float64 [N].
    """

    def __init__(
        self, base: OpenBase, items: TextCodes, at_cut: Mapping[str, float], committed: Mapping[str, float]
    ) -> None:
        self._online, self._items = base.manifest.online, items
        self._t0, self._partitions = base.manifest.trend_t0, base.manifest.partitions
        self._known = len(base.items.ids)
        self.at_cut = self._array(at_cut)[: self._known]
        self._now = self._array(committed)
        self._shown = self._now[: self._known].copy()
        self._touched: list[Integers] = []

    def clicks(self, now: int, at: Integers | None = None) -> Doubles:
        """Return the decayed clicks at `now` (ms) of the base's items, float64 [N], or of those `at` positions."""
        where = slice(0, self._known) if at is None else at
        return self._decayed(self.at_cut[where] + self._partitions * self._now[where], now)

    def shown_clicks(self, now: int) -> Doubles:
        """Return the same of the committed counts, float64 [N]."""
        return self._decayed(self.at_cut + self._partitions * self._shown, now)

    def own_counts(self) -> Doubles:
        """Return this partition's forward-decayed counts of the base's items, not those at the cut, float64 [N]."""
        return self._now[: self._known]

    def term(self, clicks: Doubles) -> Doubles:
        """Return the prior's part of the score, of the shape of `clicks`."""
        return prior(clicks, self._online.beta, self._online.floor)

    def add(self, codes: Integers, times: Integers) -> None:
        """Count clicks on items, int64 [n] codes, at `times`, int64 [n] ms."""
        self._now = grown(self._now, len(self._items))
        np.add.at(self._now, codes, weights(times, self._t0, self._online.half_life_ms))
        self._touched.append(codes)

    def clicked(self) -> tuple[list[str], Integers]:
        """Return the items clicked since the last commit, and how often, int64 [items]."""
        if not self._touched:
            return [], np.zeros(0, np.int64)
        codes, counts = np.unique(np.concatenate(self._touched), return_counts=True)
        items = self._items.texts()
        return [items[code] for code in codes.tolist()], np.asarray(counts, dtype=np.int64)

    def fresh(self) -> dict[str, float]:
        """Return the counts that changed since the last commit."""
        if not self._touched:
            return {}
        codes, items = np.unique(np.concatenate(self._touched)), self._items.texts()
        return dict(zip([items[code] for code in codes.tolist()], self._now[codes].tolist(), strict=True))

    def commit(self) -> None:
        """The counts now are committed."""
        np.copyto(self._shown, self._now[: self._known])
        self._touched.clear()

    def _decayed(self, counts: Doubles, now: int) -> Doubles:
        return decayed(counts, now, self._t0, self._online.half_life_ms)

    def _array(self, counts: Mapping[str, float]) -> Doubles:
        codes = self._items.of(list(counts))
        found = np.zeros(len(self._items), np.float64)
        found[codes] = list(counts.values())
        return found
