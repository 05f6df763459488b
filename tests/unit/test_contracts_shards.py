"""Chains of shards: contiguous in offsets and ordinals, with counters that add up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts import sample_encoding, shards
from contracts.errors import ChainBroken, Corrupt
from contracts.layout import Layout
from contracts.samples import columns_of, samples_of
from contracts.shards import Shard, ShardChain
from tests.golden import specimens
from tests.support.shards import Log, ShardWriter, by_partition
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes


def shard_chain(folder: Path) -> ShardChain:
    return shards.chain(Layout(folder), "events", 0)


def body(first: tuple[int, int], following: tuple[int, int], **fields: object) -> Shard:
    """A shard over [offset, ordinal) ranges without samples, unless told otherwise."""
    ranges = {"first_offset": first[0], "first_ordinal": first[1], "next_offset": following[0]}
    nothing = {"records": following[0] - first[0], "read": {"ticks": following[0] - first[0]}, "emitted": {}}
    return msgspec.structs.replace(specimens.SHARDS[0], **ranges, next_ordinal=following[1], **{**nothing, **fields})


def append(chain: ShardChain, shard: Shard, files: dict[str, bytes] | None = None) -> None:
    chain.create(chain.prepare(chain.head(), shard, files or {}))


def test_a_contiguous_chain_of_shards_is_proved(tmp_path: Path) -> None:
    chain = shard_chain(tmp_path)
    assert shards.verify(chain) == 0
    append(chain, body((5, 0), (9, 0)))
    append(chain, body((9, 0), (12, 0)))
    assert shards.verify(chain) == 2


@pytest.mark.parametrize(("offset", "ordinal"), [(10, 0), (8, 0), (9, 1)], ids=["gap", "overlap", "lost sample"])
def test_shards_that_do_not_meet_are_found(tmp_path: Path, offset: int, ordinal: int) -> None:
    chain = shard_chain(tmp_path)
    append(chain, body((5, 0), (9, 0)))
    append(chain, body((offset, ordinal), (12, ordinal)))
    with pytest.raises(ChainBroken, match=r"shard 2 of .* leaves a gap or overlaps"):
        shards.verify(chain)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"records": 3}, "counters"),
        ({"emitted": {"direct": 1}}, "counters"),
        ({"read": {"ticks": 3, "rejected:not_json": 1}}, "dead letters"),
    ],
)
def test_counters_that_do_not_add_up_are_found(tmp_path: Path, fields: dict[str, object], what: str) -> None:
    chain = shard_chain(tmp_path)
    append(chain, body((5, 0), (9, 0), **fields))
    with pytest.raises(ChainBroken, match=f"the {what} of shard 1 of .* do not add up"):
        shards.verify(chain)


def test_samples_with_other_ordinals_than_the_manifest_says_are_found(tmp_path: Path) -> None:
    chain = shard_chain(tmp_path)
    data = sample_encoding.encode(columns_of(specimens.SAMPLES[::-1]))
    append(chain, body((0, 0), (4, 2), emitted={"direct": 2}), {shards.SAMPLES: data})
    with pytest.raises(Corrupt, match="its ordinals"):
        shards.verify(chain)


def test_samples_are_read_from_any_ordinal(tmp_path: Path) -> None:
    chain = shard_chain(tmp_path)
    data = sample_encoding.encode(columns_of(specimens.SAMPLES))
    append(chain, body((0, 0), (4, 2), emitted={"direct": 2}), {shards.SAMPLES: data})
    assert [[s.ordinal for s in shards.read_from(chain, ordinal)] for ordinal in range(4)] == [[0, 1], [1], [], []]


def test_consecutive_shards_read_together_give_the_samples_of_each(tmp_path: Path) -> None:
    layout, tastes = Layout(tmp_path), Tastes(days=1, clicks_per_day=90)
    write_tastes(layout, tastes, sizes=(1, 7, 30))
    ShardWriter(layout).append([], MIDNIGHT + 2 * DAY_MS)
    chain = shards.chain(layout, "events", 0)
    entries = list(chain.entries())
    assert len(entries) > 5
    for some in (entries, entries[1:4], entries[-1:]):
        one_by_one = [sample for entry in some for sample in shards.read_samples(chain, entry)]
        assert samples_of(shards.read_together(chain, some)) == one_by_one


def test_of_shards_that_are_read_together_the_wrong_one_is_named(tmp_path: Path) -> None:
    layout, found = Layout(tmp_path), by_partition(Log(), Tastes(days=1).samples())[0]
    writer = ShardWriter(layout)
    writer.append(found[:5], MIDNIGHT)
    renumbered = [msgspec.structs.replace(sample, ordinal=sample.ordinal + 1) for sample in found[5:9]]
    writer.append(renumbered, MIDNIGHT + 1)
    writer.append(found[9:12], MIDNIGHT + 2)
    chain = shards.chain(layout, "events", 0)
    with pytest.raises(Corrupt, match=r"shard 2 of .*its ordinals"):
        shards.read_together(chain, list(chain.entries()))


def test_the_partitions_of_a_topic_are_those_with_shards(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert shards.partitions(layout, "events") == []
    for partition in (0, 11, 3):
        append(shards.chain(layout, "events", partition), body((0, 0), (1, 0)))
    assert shards.partitions(layout, "events") == [0, 3, 11]
    assert shards.partitions(layout, "other") == []
