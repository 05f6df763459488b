"""The committed samples of one topic-partition as columns, from an ordinal on, following the chain as it grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contracts import shards
from contracts.arrays import Integers
from contracts.bases import Base
from contracts.chain import Entry
from contracts.errors import LogChanged
from contracts.events import Context
from contracts.layout import Layout
from contracts.samples import Sample
from contracts.shards import Shard, ShardChain


@dataclass(frozen=True)
class SampleColumns:
    """Consecutive samples of one partition, column by column; `first_ordinal` is that of the first one.

    `event_times`, `watermarks`: int64 [n], ms.
    """

    first_ordinal: int
    users: list[str]
    items: list[str]
    contexts: list[Context]
    event_times: Integers
    watermarks: Integers

    def __len__(self) -> int:
        return len(self.users)

    @property
    def next_ordinal(self) -> int:
        """The ordinal after the last sample."""
        return self.first_ordinal + len(self)

    @property
    def click_times(self) -> Integers:
        """When each click happened, at most when it was emitted: a clock that runs ahead must not outweigh the rest."""
        return np.minimum(self.event_times, self.watermarks)

    def part(self, start: int, stop: int) -> SampleColumns:
        """Return samples [start, stop), counted from the first."""
        return SampleColumns(
            self.first_ordinal + start,
            self.users[start:stop],
            self.items[start:stop],
            self.contexts[start:stop],
            self.event_times[start:stop],
            self.watermarks[start:stop],
        )

    def before(self, watermark: int) -> SampleColumns:
        """Return the samples that were emitted before `watermark`; emission never goes back in time."""
        return self.part(0, int(np.searchsorted(self.watermarks, watermark, side="left")))

    def followed_by(self, later: SampleColumns) -> SampleColumns:
        """Return these samples and those right after them as one."""
        return SampleColumns(
            self.first_ordinal if len(self) else later.first_ordinal,
            self.users + later.users,
            self.items + later.items,
            self.contexts + later.contexts,
            np.concatenate([self.event_times, later.event_times]),
            np.concatenate([self.watermarks, later.watermarks]),
        )


def columns(found: Sequence[Sample], first_ordinal: int) -> SampleColumns:
    """Return samples with consecutive ordinals from `first_ordinal` as columns."""
    return SampleColumns(
        first_ordinal,
        [sample.user_id for sample in found],
        [sample.item_id for sample in found],
        [sample.context for sample in found],
        np.array([sample.event_time for sample in found], dtype=np.int64),
        np.array([sample.watermark for sample in found], dtype=np.int64),
    )


@dataclass(frozen=True)
class CommittedShard:
    """What one shard adds: its samples from the wanted ordinal on, and how far its watermark (ms) has come."""

    samples: SampleColumns
    watermark: int


class ShardFeed:
    """A reader's end of one chain of shards; remembers the manifest reached, so that following it costs what is new."""

    def __init__(self, chain: ShardChain, ordinal: int, watermark: int) -> None:
        self._chain = chain
        self._ordinal = ordinal
        self._reached = self._last_passed(ordinal, watermark)

    def read(self) -> Iterator[CommittedShard]:
        """Yield the shards committed since the last call, in order; those without samples move the watermark alone."""
        for entry in self._chain.entries(after=self._reached):
            found = [s for s in shards.read_samples(self._chain, entry) if s.ordinal >= self._ordinal]
            yield CommittedShard(columns(found, self._ordinal), entry.body.watermark)
            self._ordinal += len(found)
            self._reached = entry.number

    def _last_passed(self, ordinal: int, watermark: int) -> int:
        """Return the highest manifest that goes beyond neither `ordinal` nor `watermark` (0: none), by bisection.

        A shard without samples still tells a watermark, which the reader has to see.
        """
        low, high = 0, self._chain.head_number() + 1
        while high - low > 1:
            middle = (low + high) // 2
            body = self._chain.read(middle).body
            passed = body.next_ordinal <= ordinal and body.watermark <= watermark
            low, high = (middle, high) if passed else (low, middle)
        return low


def check_same_log(entry: Entry[Shard], base: Base) -> None:
    """Refuse shards of another log than the one that `base` was trained on. Raises `LogChanged`."""
    body = entry.body
    if (body.topic_id, body.partitions) != (base.topic_id, base.partitions):
        raise LogChanged(
            f"base {base.base_id} was trained on topic id {base.topic_id} with {base.partitions} partitions, "
            f"the shards of {body.topic} come from id {body.topic_id} with {body.partitions}",
            hint="Train a new base on these shards: freshet trainer retrain --from-scratch.",
        )


def open_feed(layout: Layout, base: Base, partition: int, ordinal: int, watermark: int) -> ShardFeed:
    """Return the feed of one partition of the base's topic, of what lies beyond `ordinal` or `watermark` (ms).

    Raises `LogChanged`.
    """
    chain = shards.chain(layout, base.topic, partition)
    if chain.head_number():
        check_same_log(chain.read(1), base)
    return ShardFeed(chain, ordinal, watermark)
