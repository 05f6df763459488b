"""Laws 2, 4 and 8: what the log holds decides about samples; chunks, cuts and deaths do not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events, sample_decoding, samples, shards
from contracts.errors import EventRejected
from contracts.events import Click, Event, Request
from contracts.layout import Layout
from contracts.samples import Sample
from contracts.state_db import StateDB
from streams import pipeline as pipeline_module
from streams import shard_writer
from streams.clock import Leaps
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import Record
from streams.shard_writer import PartitionWriter
from tests.support.folds import closed_shards
from tests.support.logs import ONE_PARTITION, mixed_log, records

SHORT = Windows(join_ms=120_000, late_ms=600_000, park_ms=60_000, dedupe_ms=600_000, leaps=Leaps(900_000, 3))
BELIEVING = msgspec.structs.replace(SHORT, leaps=Leaps(leap_records=1))
seeds = st.integers(0, 10_000)


def folded(log: list[Record], chunk: int, rotation: Rotation, windows: Windows = SHORT) -> list[Sample]:
    closed = closed_shards(log, windows, rotation, chunk)
    files = (shard.files[shards.SAMPLES] for shard in closed if shards.SAMPLES in shard.files)
    return [sample for file in files for sample in samples.samples_of(sample_decoding.decode(file))]


@given(
    seeds, st.sampled_from([1, 7, 5000]), st.sampled_from([Rotation(1), Rotation(13, 30_000), Rotation(4096, 600_000)])
)
def test_chunks_and_cuts_leave_no_trace_in_samples(seed: int, chunk: int, rotation: Rotation) -> None:
    log = records(mixed_log(seed))
    plain, other = folded(log, 5000, Rotation(1)), folded(log, chunk, rotation)
    assert other == plain[: len(other)]
    assert len(other) > 20
    assert [sample.ordinal for sample in plain] == list(range(len(plain)))


@given(seeds)
def test_counters_of_every_shard_sum_to_its_records_and_its_samples(seed: int) -> None:
    log = records(mixed_log(seed))
    outcomes: Counter[str] = Counter()
    for closed in closed_shards(log, SHORT, Rotation(10)):
        body = closed.body
        assert sum(body.read.values()) == body.records == body.next_offset - body.first_offset
        assert sum(body.emitted.values()) == body.next_ordinal - body.first_ordinal
        outcomes.update(body.read)
    assert sum(outcomes.values()) <= len(log)
    assert {"requests", "ticks", "clicks:direct", "clicks:request", "clicks:duplicate"} <= set(outcomes)


@given(seeds)
def test_an_item_that_was_shown_and_not_clicked_is_never_a_hard_negative(seed: int) -> None:
    log = mixed_log(seed)
    carried = 0
    for sample in folded(records(log), 5000, Rotation(1), BELIEVING):
        negatives = {negative.item_id for negative in sample.hard_negatives}
        carried += len(negatives)
        assert not negatives & {*shown_before(log, sample.source.offset), sample.item_id}
    assert carried > 0


def shown_before(log: list[Event | bytes], offset: int) -> set[str]:
    """Return what the click's request showed, in all its records that were known when the click was read."""
    click = log[offset]
    assert isinstance(click, Click)
    since = click.ingest_time - SHORT.late_ms
    known = [event for event in log[:offset] if isinstance(event, Request) and event.ingest_time > since]
    asked = [event for event in known if (event.user_id, event.request_id) == (click.user_id, click.request_id)]
    return {item.item_id for event in asked for item in event.shown}


@given(seeds)
def test_every_click_is_counted_once_and_leaves_at_most_once(seed: int) -> None:
    log = mixed_log(seed)
    sources = [sample.source.offset for sample in folded(records(log), 5000, Rotation(1))]
    assert len(set(sources)) == len(sources)
    ids = [log[offset].event_id for offset in sources]  # type: ignore[union-attr]
    assert all(isinstance(log[offset], Click) for offset in sources)
    assert len(ids) == len(sources)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stops", [(40,), (3, 90, 91, 200), tuple(range(10, 300, 17))])
@pytest.mark.parametrize("lose_state", [False, True])
def test_a_partition_that_changes_hands_again_and_again_gives_the_same_samples(
    tmp_path: Path, seed: int, stops: tuple[int, ...], lose_state: bool
) -> None:
    log, layout = records(mixed_log(seed)), Layout(tmp_path)
    for stop in (*stops, len(log)):
        writer = PartitionWriter(layout, ONE_PARTITION, 0, SHORT, Rotation(10, 30_000))
        writer.begin(0, len(log))
        writer.feed(log[writer.expected : stop])
        writer.close()
        if lose_state:
            StateDB.drop(layout.stream_state("events", 0))
    chain = shards.chain(layout, "events", 0)
    assert shards.verify(chain) == chain.head_number()
    found = list(shards.read_from(chain))
    assert found == folded(log, 5000, Rotation(10, 30_000))
    assert samples.digest(found) == samples.digest(folded(log, 7, Rotation(10, 30_000)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch", [1, 3, 1024])
def test_whether_a_request_or_an_event_is_remembered_in_memory_or_on_disk_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, batch: int
) -> None:
    log = records(mixed_log(seed, size=400))
    mostly_in_memory = folded(log, 5000, Rotation(4096, 3_600_000))
    monkeypatch.setattr(pipeline_module, "BATCH", batch)
    writer = PartitionWriter(Layout(tmp_path), ONE_PARTITION, 0, SHORT, Rotation(1))
    writer.begin(0, len(log))
    writer.feed(log)
    writer.close()
    committed_at_once = list(shards.read_from(shards.chain(Layout(tmp_path), "events", 0)))
    assert len(mostly_in_memory) > 50
    assert committed_at_once[: len(mostly_in_memory)] == mostly_in_memory


@pytest.mark.parametrize("crash", [True, False])
def test_a_rebuild_that_spills_to_disk_and_dies_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: bool
) -> None:
    log, layout = records(mixed_log(5, size=600)), Layout(tmp_path)
    monkeypatch.setattr(shard_writer, "SPILL_BYTES", 200)
    first = PartitionWriter(layout, ONE_PARTITION, 0, SHORT, Rotation(10, 30_000))
    first.begin(0, len(log))
    first.feed(log[:400])
    first.close()
    StateDB.drop(layout.stream_state("events", 0))
    again = PartitionWriter(layout, ONE_PARTITION, 0, SHORT, Rotation(10, 30_000))
    half = (again.expected + again.committed.next_offset) // 2  # type: ignore[union-attr]
    again.feed(log[again.expected : half])
    assert not again.state.empty()
    if crash:
        again.close()
        again = PartitionWriter(layout, ONE_PARTITION, 0, SHORT, Rotation(10, 30_000))
        assert again.state.empty()
    again.feed(log[again.expected :])
    again.close()
    assert list(shards.read_from(shards.chain(layout, "events", 0))) == folded(log, 5000, Rotation(10, 30_000))


def test_a_rebuild_reads_no_more_of_the_log_than_its_horizon(tmp_path: Path) -> None:
    log, layout = records(mixed_log(3, size=3000)), Layout(tmp_path)
    whole = PartitionWriter(layout, ONE_PARTITION, 0, SHORT, Rotation(10, 30_000))
    whole.begin(0, len(log))
    whole.feed(log[:2500])
    whole.close()
    StateDB.drop(layout.stream_state("events", 0))
    again = PartitionWriter(layout, ONE_PARTITION, 0, SHORT, Rotation(10, 30_000))
    assert again.committed is not None
    assert 0 < again.expected < again.committed.next_offset
    times = [time for record in log[again.expected : 2500] if (time := _ingest_time(record)) is not None]
    assert max(times) - min(times) <= SHORT.horizon_ms + 4_200_000  # a mark every ten minutes, leaps of an hour
    again.feed(log[again.expected :])
    again.close()
    assert list(shards.read_from(shards.chain(layout, "events", 0))) == folded(log, 5000, Rotation(10, 30_000))


def _ingest_time(record: Record) -> int | None:
    try:
        return events.decode(record.value).ingest_time
    except EventRejected:
        return None
