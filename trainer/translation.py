"""From the codes of a scan to the positions and inputs of a base: a look-up a column, when the vocabulary is chosen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from contracts.arrays import Floats, Integers
from contracts.features import MAX_DEVIATIONS, ContinuousFeature, DiscreteFeature, FeatureSpec
from trainer.day_scan import Scan
from trainer.epoch import Epoch, Scattered, TrainingRows
from trainer.text_codes import TextCodes


class Translation:
    """Translates the rows of one scan. Users keep their codes; samples whose item has no vector are left out.

    What comes of a context is what `contracts.features.FeatureEncoder` makes of it.
    """

    def __init__(self, scan: Scan, items: list[str], spec: FeatureSpec) -> None:
        self._item_at = np.full(len(scan.items) + 1, -1, dtype=np.int64)  # the last one: of no item
        self._item_at[scan.items.of(list(items))] = np.arange(len(items))
        self._items, columns = len(items), scan.contexts
        places = {name: place for place, name in enumerate(columns.discrete)}
        self._discrete = [(places.get(f.name, -1), _values(f, columns.discrete.get(f.name))) for f in spec.discrete]
        self._continuous = [(columns.continuous.get(f.name, -1), f) for f in spec.continuous]

    def rows(self, coded: TrainingRows) -> TrainingRows:
        """Return rows in positions; what has none is left out."""
        items = self._item_at[coded.items]
        kept = np.flatnonzero(items >= 0)
        coded = coded.at(kept)
        codes = np.empty((len(kept), len(self._discrete)), np.int64)
        for number, (place, values) in enumerate(self._discrete):
            codes[:, number] = values[coded.codes[:, place]] if 0 <= place < coded.codes.shape[1] else values[0]
        numbers = np.zeros((len(kept), len(self._continuous)), np.float32)
        for number, (place, feature) in enumerate(self._continuous):
            if 0 <= place < coded.numbers.shape[1]:
                numbers[:, number] = _standardised(coded.numbers[:, place], feature)
        return TrainingRows(coded.users, items[kept], codes, numbers, self._item_at[coded.hard])

    def epoch(self, day: Scattered, clicks: Integers) -> Epoch:
        """Return the epoch of a scattered day; `clicks`: int64, on each item by code."""
        positions = self._item_at[: len(clicks)]
        known = positions >= 0
        on_items = np.zeros(self._items, np.int64)
        on_items[positions[known]] = clicks[known]

        def stretches() -> Iterator[TrainingRows]:
            return map(self.rows, day.read())

        return Epoch(day.name, int(on_items.sum()), on_items, stretches)


def _values(feature: DiscreteFeature, codes: TextCodes | None) -> Integers:
    """Return the inputs of a column's codes, int64; a value that is missing counts as an empty one."""
    known = {value: code for code, value in enumerate(feature.values, start=1)}
    texts = codes.texts() if codes else []
    return np.array([known.get(text, 0) for text in ["", *texts]], dtype=np.int64)


def _standardised(numbers: Floats, feature: ContinuousFeature) -> Floats:
    apart = (numbers.astype(np.float64) - feature.mean) / feature.deviation
    bounded = np.clip(np.where(np.isnan(apart), 0.0, apart), -MAX_DEVIATIONS, MAX_DEVIATIONS)
    return bounded.astype(np.float32)
