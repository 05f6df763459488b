"""Blocks: cut by bucket of watermark and by size, whatever the samples come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.bases import OnlineSettings
from contracts.samples import Sample
from tests.support.shards import Log, by_partition, click
from trainer.blocks import BlockCutter
from trainer.shard_feed import columns

MINUTE = 60_000
SETTINGS = OnlineSettings(block_samples=4, block_ms=5 * MINUTE)


def emitted(*minutes: int) -> list[Sample]:
    return by_partition(Log(), [click(f"u{n}", "i", minute * MINUTE) for n, minute in enumerate(minutes)])[0]


def cut(samples: list[Sample], sizes: list[int]) -> list[tuple[int, int]]:
    cutter, blocks, at = BlockCutter(SETTINGS, 0), [], 0
    while at < len(samples):
        size = sizes[at % len(sizes)]
        part = samples[at : at + size]
        blocks += [*cutter.add(columns(part, at)), *cutter.leave(part[-1].watermark)]
        at += size
    blocks += cutter.leave(1 << 60)
    return [(block.first_ordinal, block.next_ordinal) for block in blocks]


def test_a_block_ends_where_its_bucket_ends_or_when_it_is_full() -> None:
    found = cut(emitted(0, 1, 4, 5, 5, 6, 7, 8, 9, 20), [100])
    assert found == [(0, 3), (3, 7), (7, 9), (9, 10)]


def test_a_full_block_is_complete_before_its_bucket_is_left() -> None:
    cutter = BlockCutter(SETTINGS, 0)
    samples = emitted(0, 1, 2, 3, 4)
    assert [len(block) for block in cutter.add(columns(samples[:3], 0))] == []
    assert [len(block) for block in cutter.add(columns(samples[3:], 3))] == [4]
    assert [len(block) for block in cutter.leave(5 * MINUTE - 1)] == []
    assert [len(block) for block in cutter.leave(5 * MINUTE)] == [1]
    assert [len(block) for block in cutter.leave(1 << 60)] == []


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_how_samples_arrive_leaves_no_trace_in_the_blocks(minutes: list[int], sizes: list[int]) -> None:
    samples = emitted(*sorted(minutes))
    blocks = cut(samples, sizes)
    assert blocks == cut(samples, [1000])
    assert [ordinal for start, stop in blocks for ordinal in range(start, stop)] == list(range(len(samples)))
    for start, stop in blocks:
        assert len({sample.watermark // SETTINGS.block_ms for sample in samples[start:stop]}) == 1
        assert stop - start <= SETTINGS.block_samples
