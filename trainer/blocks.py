"""Blocks: what the online update learns from at once.

A block is the samples of one partition in one bucket of emission watermark, split at a fixed size. It depends on the
samples and where folding began (a bucket's start), never on where shards are cut or when they arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from contracts.bases import OnlineSettings
from trainer.shard_feed import SampleColumns, columns


class BlockCutter:
    """Turns samples as they come into complete blocks; keeps the samples of the unfinished one."""

    def __init__(self, settings: OnlineSettings, first_ordinal: int) -> None:
        self._size, self._bucket_ms = settings.block_samples, settings.block_ms
        self._rest = columns([], first_ordinal)

    def add(self, samples: SampleColumns) -> Iterator[SampleColumns]:
        """Take the samples that follow; yield each block that is full or whose bucket has been left."""
        waiting = self._rest.followed_by(samples)
        starts = self._starts(waiting)
        for start, stop in pairwise(starts):
            self._rest = waiting.part(stop, len(waiting))
            yield waiting.part(start, stop)
        last = starts[-1] if starts else 0
        self._rest = waiting.part(last, len(waiting))
        if len(self._rest) == self._size:
            full, self._rest = self._rest, waiting.part(len(waiting), len(waiting))
            yield full

    def leave(self, watermark: int) -> Iterator[SampleColumns]:
        """Yield the unfinished block if `watermark` (ms), which nothing later precedes, lies beyond its bucket."""
        if len(self._rest) and watermark // self._bucket_ms > int(self._rest.watermarks[0]) // self._bucket_ms:
            left, self._rest = self._rest, self._rest.part(len(self._rest), len(self._rest))
            yield left

    def through(self, samples: SampleColumns, watermark: int) -> Iterator[SampleColumns]:
        """Yield the blocks that are complete when these samples have come and the watermark has reached `watermark`."""
        yield from self.add(samples)
        yield from self.leave(watermark)

    def _starts(self, samples: SampleColumns) -> list[int]:
        """Return where blocks begin: at a new bucket, and each `size` samples within one."""
        buckets = samples.watermarks // self._bucket_ms
        edges = [*np.flatnonzero(np.diff(buckets, prepend=buckets[:1] - 1)).tolist(), len(samples)]
        return [at for start, stop in pairwise(edges) for at in range(start, stop, self._size)]
