"""The drift record: what is written, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas, drift, sealed
from contracts.deltas import Changes
from contracts.drift import Drift, Shift, Spread
from contracts.errors import Corrupt, UnknownSchema
from contracts.layout import Layout
from tests.support.bases import append_delta, tiny_base
from tests.support.damage import all_flips, truncations

RECORD = Drift(
    base_id="2025-01-06-0123abcd",
    partition=1,
    first_ordinal=100,
    next_ordinal=164,
    watermark=1_736_123_400_000,
    touched_known=40,
    touched_new=2,
    distance=Spread(0.25, 0.5, 0.75, 1.0),
    angle=Spread(2.0, 4.0, 8.0, 16.0),
    common_distance=1.5,
    common_angle=30.0,
    popularity=Shift(0.5, 0.25),
    discrete={"device": Shift(0.125, 0.0625)},
    continuous={"hour_sin": -0.5},
)
WRITTEN = (
    b'{"base_id":"2025-01-06-0123abcd","partition":1,"first_ordinal":100,"next_ordinal":164,"watermark":1736123400000,'
    b'"touched_known":40,"touched_new":2,"distance":{"p50":0.25,"p90":0.5,"p99":0.75,"most":1.0},'
    b'"angle":{"p50":2.0,"p90":4.0,"p99":8.0,"most":16.0},"common_distance":1.5,"common_angle":30.0,'
    b'"popularity":{"divergence":0.5,"by_chance":0.25},"discrete":{"device":{"divergence":0.125,"by_chance":0.0625}},'
    b'"continuous":{"hour_sin":-0.5},"lacking":[],"schema":"freshet.drift/1"}'
)


def test_a_record_is_these_very_bytes_and_is_read_from_them() -> None:
    assert drift.encode(RECORD) == sealed.seal(WRITTEN)
    assert drift.decode(sealed.seal(WRITTEN)) == RECORD


def test_a_record_damaged_at_any_byte_is_corrupt() -> None:
    whole = drift.encode(RECORD)
    for bad in [*truncations(whole), *all_flips(whole)]:
        with pytest.raises(Corrupt, match="a drift record is damaged"):
            drift.decode(bad)


@pytest.mark.parametrize(
    "wrong",
    [
        {"common_distance": math.nan},
        {"common_angle": 181.0},
        {"continuous": {"hour": math.inf}},
        {"popularity": Shift(1.5, 0.0)},
        {"distance": Spread(-1.0, 0.0, 0.0, 0.0)},
        {"touched_known": -1},
    ],
)
def test_what_nobody_could_read_is_not_written(wrong: dict[str, object]) -> None:
    with pytest.raises(Corrupt, match="the new drift record"):
        drift.encode(msgspec.structs.replace(RECORD, **wrong))


def test_another_version_is_named() -> None:
    with pytest.raises(UnknownSchema, match=r"'freshet.drift/9', this version reads 'freshet.drift/1'"):
        drift.decode(sealed.seal(WRITTEN.replace(b"drift/1", b"drift/9")))


def test_the_excess_is_what_chance_does_not_explain() -> None:
    assert Shift(0.5, 0.125).excess == 0.375


def test_a_delta_of_before_there_were_records_has_none(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    base = tiny_base(layout)
    entry = append_delta(layout, base, 0, Changes(np.zeros(8, np.float32), 0))
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    assert deltas.drift_of(chain, entry) is None
