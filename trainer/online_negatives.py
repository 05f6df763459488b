"""Which items the clicked ones of a block compete with: all, or some drawn by what is clicked now."""

from __future__ import annotations

import numpy as np

from contracts.bases import OnlineSettings, OpenBase
from trainer.block_fold import Rivals, every
from trainer.negatives import CountSampler, numbers_of
from trainer.trend_counts import TrendCounts


class BucketSampler:
    """Rivals of one block after the other.

    Drawn ones come from clicks^0.75 as they stood when the block's bucket of watermark began: a bucket never lies
    across a boundary, so that a fold that begins there draws the same. Numbers are counted by the block's ordinal.
    """

    def __init__(self, base: OpenBase, name: str, online: OnlineSettings) -> None:
        self._name, self._online = name, online
        self._vectors = base.items.vectors
        self._bucket = -1
        self._sampler: CountSampler | None = None
        self._log = np.log(np.arange(online.negatives + 1).clip(1)).astype(np.float32)
        self._every = None if online.negatives else every(self._vectors)

    def rivals(self, ordinal: int, now: int, trend: TrendCounts) -> Rivals:
        """Return the rivals of the block that begins with `ordinal`, whose first sample was emitted at `now` (ms)."""
        if self._every:
            return self._every
        start = now // self._online.block_ms * self._online.block_ms
        if self._sampler is None or start != self._bucket:
            self._bucket, self._sampler = start, CountSampler(trend.clicks(start) + self._online.floor)
        drawn = self._sampler.draw_spread(numbers_of(self._name, ordinal), self._online.negatives)
        ends = np.flatnonzero(drawn[1:] != drawn[:-1])  # they are sorted: one that was drawn n times counts n times
        edges = np.concatenate([[-1], ends, [len(drawn) - 1]])
        distinct = drawn[edges[1:]]
        log_expected = self._sampler.log_expected(distinct, len(drawn)) - self._log[edges[1:] - edges[:-1]]
        return Rivals(distinct, self._vectors.take(distinct, axis=0), log_expected)
