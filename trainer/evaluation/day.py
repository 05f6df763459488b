"""A day of a log as it is judged: its samples in the order of emission, and the blocks that partitions learn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contracts import shards
from contracts.arrays import Floats, Integers
from contracts.bases import OpenBase
from contracts.days import bounds
from contracts.partitions import partition_of
from contracts.samples import Sample
from trainer.block_input import BlockEncoder, EncodedBlock
from trainer.blocks import BlockCutter
from trainer.shard_feed import SampleColumns, columns
from trainer.training_days import Topic, find_day


@dataclass(frozen=True)
class LogDay:
    """All samples of one day, [start, end) in ms of emission watermark, in the order of emission."""

    name: str
    start: int
    end: int
    samples: SampleColumns


@dataclass(frozen=True)
class PlacedBlock:
    """A block of one partition. `at`: int64 [n], where its samples stand in the day."""

    partition: int
    at: Integers
    block: EncodedBlock


@dataclass(frozen=True)
class Folding:
    """A day as it is folded onto one base, by so many partitions.

    `contexts`: float32 [n, d], MLP(context) of its samples; `homes`: int64 [n], their partitions; `windows`: the blocks
    of each window, in the order in which a partition learns them.
    """

    contexts: Floats
    homes: Integers
    windows: tuple[tuple[PlacedBlock, ...], ...]
    partitions: int

    def lengthened(self, times: np.float32) -> Folding:
        """Return the same with all context vectors multiplied."""
        windows = tuple(
            tuple(replace(each, block=replace(each.block, context=each.block.context * times)) for each in blocks)
            for blocks in self.windows
        )
        return replace(self, contexts=self.contexts * times, windows=windows)


def read_log_day(topic: Topic, name: str, zone: str) -> LogDay:
    """Read a day of a topic's shards; partitions are merged by watermark, then partition, then ordinal.

    Raises `MissingInput` where it is not complete.
    """
    day = find_day(topic, name, zone)
    found: list[tuple[int, int, Sample]] = []
    for partition, (chain, first, after) in enumerate(zip(topic.chains, day.first, day.next, strict=True)):
        for sample in shards.read_from(chain, first):
            if sample.ordinal >= after:
                break
            found.append((sample.watermark, partition, sample))
    found.sort(key=lambda each: each[:2])  # stable: within a partition the order stays
    start, _ = bounds(name, zone)
    return LogDay(name, start, day.end, columns([sample for _, _, sample in found], 0))


def folding(base: OpenBase, day: LogDay, partitions: int, interval_ms: int) -> Folding:
    """Cut a day into the blocks that each of so many partitions would learn on `base`, window by window.

    With one user in one partition, the partitions of the log that was read leave no trace.
    """
    encoder, online = BlockEncoder(base), base.manifest.online
    windows: list[list[PlacedBlock]] = [[] for _ in range(-(-(day.end - day.start) // interval_ms))]
    home = np.array([partition_of(user, partitions) for user in day.samples.users], dtype=np.int64)
    contexts = np.zeros((len(day.samples), base.manifest.towers.width), np.float32)
    for partition in range(partitions):
        at = np.flatnonzero(home == partition)
        cutter = BlockCutter(online, 0)
        cut = [*cutter.add(_picked(day.samples, at)), *cutter.leave(day.end + online.block_ms)]
        for block in cut:
            where = at[block.first_ordinal : block.next_ordinal]
            encoded = encoder.encode(block)
            contexts[where] = encoded.context[: len(where)]
            window = (int(block.watermarks[0]) - day.start) // interval_ms
            windows[window].append(PlacedBlock(partition, where, encoded))
    return Folding(contexts, home, tuple(tuple(blocks) for blocks in windows), partitions)


def _picked(samples: SampleColumns, at: Integers) -> SampleColumns:
    places = at.tolist()
    return SampleColumns(
        0,
        [samples.users[place] for place in places],
        [samples.items[place] for place in places],
        [samples.contexts[place] for place in places],
        samples.event_times[at],
        samples.watermarks[at],
    )
