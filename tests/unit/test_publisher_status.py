"""Status: what is served, how fresh, from which log positions."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts import deltas, drift, nights
from contracts.deltas import Changes
from contracts.drift import Spread
from contracts.errors import NothingServed
from contracts.layout import Layout
from contracts.nights import Night
from contracts.served import Hold
from publisher.report import drift_in_words, print_status
from publisher.status import UNKNOWN, read_status
from tests.support.bases import CUT, MINUTE, Tiny, append_round, append_shard, next_body, serve, stand, tiny_base
from tests.unit.test_contracts_drift import RECORD


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_before_the_first_publish_status_says_so_and_exits_2(layout: Layout) -> None:
    with pytest.raises(NothingServed, match="nothing is served yet") as raised:
        read_status(layout)
    assert raised.value.exit_code == 2
    assert "freshet publish once" in raised.value.hint


def test_status_tells_version_base_and_positions(layout: Layout) -> None:
    base = tiny_base(layout)
    append_round(layout, base, 1)
    serve(layout, base, (Hold(0, 1, 1),))
    status = read_status(layout)
    assert (status.version, status.base_id, status.topic, status.trend_time) == (1, "tiny", "events", CUT + 30 * MINUTE)
    assert [(p.delta, p.next_ordinal, p.watermark) for p in status.partitions] == [
        (1, 101, CUT + 30 * MINUTE),
        (1, 102, CUT + 30 * MINUTE),
    ]
    assert status.held == (Hold(0, 1, 1),)


def test_without_shards_offsets_and_lag_are_unknown(layout: Layout) -> None:
    serve(layout, tiny_base(layout))
    status = read_status(layout)
    assert [(p.next_offset, p.behind_ms) for p in status.partitions] == [(UNKNOWN, UNKNOWN)] * 2
    assert status.behind_ms == UNKNOWN


@pytest.mark.parametrize(
    ("samples_of_shards", "offset"),
    [
        ([40, 40, 20, 50], 30),  # the third shard ends at the position
        ([40, 40, 30, 50], 20),  # the position lies within the third shard
        ([40, 40, 20, 0, 0], 50),  # shards without samples follow
        ([150], UNKNOWN),  # the position lies within the first
        ([100], 10),
    ],
)
def test_the_source_position_is_the_end_of_the_last_shard_that_is_served_whole(
    layout: Layout, samples_of_shards: list[int], offset: int
) -> None:
    serve(layout, tiny_base(layout))  # partition 0 is served up to sample 100
    for samples in samples_of_shards:
        append_shard(layout, "events", 0, 10, samples, CUT)
    assert read_status(layout).partitions[0].next_offset == offset


def test_the_lag_is_the_newest_committed_watermark_minus_the_served_one(layout: Layout) -> None:
    serve(layout, tiny_base(layout))
    append_shard(layout, "events", 0, 10, 100, CUT)
    append_shard(layout, "events", 0, 10, 100, CUT + 7 * MINUTE)
    append_shard(layout, "events", 1, 10, 100, CUT - MINUTE)
    status = read_status(layout)
    assert [p.behind_ms for p in status.partitions] == [7 * MINUTE, 0]
    assert status.behind_ms == 7 * MINUTE


def test_status_tells_where_the_next_base_stands_and_that_the_last_night_was_refused(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(layout, tiny_base(layout))
    before = read_status(layout)
    assert (before.next_base, before.refused_night) == (None, None)
    stand(layout, tiny_base(layout, Tiny("newer", cut_watermark=CUT + 60 * MINUTE)), "folding")
    (layout.base("damaged")).mkdir()
    (layout.base("damaged") / "base.json").write_bytes(b"rubbish")
    night = Night("refused", ("2025-01-07",), "tiny", "", {}, (), "someone", "9 samples, where 600 are usual", 0)
    chain = nights.chain(layout, "events")
    chain.create(chain.prepare(None, night, {}))
    status = read_status(layout)
    assert status.next_base is not None
    assert (status.next_base.base_id, status.refused_night) == ("newer", night)
    print_status(status)
    shown = capsys.readouterr().out
    assert "Next base: newer is folding: a test\n" in shown
    assert "The night of 2025-01-07 was refused: 9 samples, where 600 are usual\n" in shown


def test_drift_is_told_in_a_line_the_largest_of_the_partitions() -> None:
    other = msgspec.structs.replace(RECORD, angle=Spread(7.0, 8.0, 9.0, 10.0), continuous={"hour_sin": 0.25})
    assert drift_in_words([RECORD, other]) == (
        "rows 7°, common row 1.50, popularity +0.25, device +0.06, hour_sin -0.50 deviations"
    )


def test_what_is_not_measured_is_named_and_so_is_that_there_is_no_record() -> None:
    nothing = msgspec.structs.replace(RECORD, angle=None, popularity=None, discrete={}, continuous={})
    lacking = msgspec.structs.replace(nothing, lacking=("popularity", "context"))
    assert drift_in_words([lacking]) == "common row 1.50; not measured: context, popularity"
    assert drift_in_words([]) == "no record"


def test_status_has_the_records_of_the_deltas_served(layout: Layout) -> None:
    base = tiny_base(layout)
    for partition in range(2):
        chain = deltas.chain(layout, base.manifest.base_id, partition)
        body = next_body(base, None, partition)
        files = {deltas.ROWS: deltas.encode(Changes(base.common, 1), 8)}
        if partition:
            files[deltas.DRIFT] = drift.encode(RECORD)
        chain.create(chain.prepare(None, body, files))
    serve(layout, base)
    assert read_status(layout).drift == (RECORD,)
