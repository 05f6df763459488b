"""What closes a shard, and what a writer refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import shards
from contracts.errors import ChainBroken, LogChanged, LogLost
from contracts.events import Click, Rejected, Request, Tick
from contracts.layout import Layout
from contracts.state_db import StateDB
from streams import pipeline, shard_writer
from streams.join import Windows
from streams.pipeline import Rotation
from streams.shard_writer import PartitionWriter
from tests.support.faults import failing_fsync
from tests.support.folds import closed_shards
from tests.support.logs import MINUTE, ONE_PARTITION, START, records

WINDOWS = Windows()


def clicks(count: int) -> list[Click]:
    return [Click("u", f"i{number}", START + number, START + number) for number in range(count)]


def test_rubbish_alone_closes_shards_too() -> None:
    log = records([b"rubbish"] * 25)
    closed = list(closed_shards(log, WINDOWS, Rotation(samples=10)))
    assert [(shard.body.first_offset, shard.body.next_offset) for shard in closed] == [(0, 10), (10, 20)]


def test_a_shard_closes_before_it_outgrows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_SHARD_BYTES", 50_000)
    rejected = tuple(Rejected(f"{number:0200d}", "rank") for number in range(100))
    request = Request("r", "u", START, START, rejected=rejected)
    log = records([request, *(Click("u", f"i{n}", START, START, request_id="r") for n in range(20))])
    closed = list(closed_shards(log, WINDOWS, Rotation()))
    assert len(closed) > 5
    assert max(len(shard.files[shards.SAMPLES]) for shard in closed) < 100_000


def test_a_tick_at_the_next_bucket_closes_the_shard_at_once() -> None:
    log = records([*clicks(3), Tick(START // MINUTE * MINUTE + MINUTE)])
    (closed,) = closed_shards(log, WINDOWS, Rotation())
    assert closed.body.watermark == START // MINUTE * MINUTE + MINUTE


def test_a_rebuilt_partition_cuts_its_shards_where_the_undisturbed_one_would(tmp_path: Path) -> None:
    log, cuts = records(clicks(21)), []
    for stops in ((15, 21), (21,)):
        layout = Layout(tmp_path / str(len(stops)))
        for stop in stops:
            writer = PartitionWriter(layout, ONE_PARTITION, 0, WINDOWS, Rotation(samples=5))
            writer.begin(0, 21)
            writer.feed(log[writer.expected : stop])
            writer.close()
            StateDB.drop(layout.stream_state("events", 0))
        chain = shards.chain(layout, "events", 0)
        cuts.append([(entry.body.first_offset, entry.body.next_offset) for entry in chain.entries()])
    assert cuts[0] == cuts[1] == [(0, 5), (5, 10), (10, 15), (15, 20)]


@pytest.fixture
def writer(tmp_path: Path) -> PartitionWriter:
    made = PartitionWriter(Layout(tmp_path), ONE_PARTITION, 0, WINDOWS, Rotation(samples=5))
    made.begin(0, 100)
    made.feed(records(clicks(12)))
    return made


def test_a_log_that_lost_its_tail_is_refused_by_name(writer: PartitionWriter) -> None:
    with pytest.raises(LogLost, match="lost its tail"):
        writer.check_log(0, 9)
    writer.check_log(0, 10)


def test_a_log_whose_retention_passed_the_next_offset_is_refused_by_name(writer: PartitionWriter) -> None:
    with pytest.raises(LogLost, match="retention has deleted them"):
        writer.check_log(13, 100)
    writer.check_log(12, 100)


def test_a_new_chain_begins_where_the_log_does(tmp_path: Path) -> None:
    made = PartitionWriter(Layout(tmp_path), ONE_PARTITION, 0, WINDOWS, Rotation(samples=5))
    made.begin(40, 100)
    made.feed(records(clicks(5), first=40))
    assert made.committed is not None
    assert (made.committed.first_offset, made.committed.first_ordinal) == (40, 0)


def test_a_writer_whose_commit_failed_takes_no_more_records(writer: PartitionWriter) -> None:
    with failing_fsync(after=0), pytest.raises(OSError, match=r".*"):
        writer.feed(records(clicks(16)))
    with pytest.raises(ChainBroken, match="after a commit that failed"):
        writer.feed(records(clicks(30)))


def test_shards_of_another_partitioner_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = PartitionWriter(Layout(tmp_path), ONE_PARTITION, 0, WINDOWS, Rotation(samples=5))
    writer.begin(0, 10)
    writer.feed(records(clicks(10)))
    writer.close()
    monkeypatch.setattr(shard_writer, "PARTITIONER", "fnv1a")
    with pytest.raises(LogChanged, match=r"'murmur2'.*'fnv1a'"):
        PartitionWriter(Layout(tmp_path), ONE_PARTITION, 0, WINDOWS, Rotation(samples=5))
