"""Bytes that pass for a file of ours and are none, seal and digest aside: named errors, nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from contracts import bases, deltas, drift, sample_decoding, samples, sealed, served, validation
from contracts.deltas import Changes
from contracts.errors import ChainBroken, Corrupt, UnknownSchema
from contracts.framing import frame, unframe
from contracts.layout import Layout
from contracts.samples import Sample
from tests.support import strategies

SERVED = served.chain(Layout(Path("nowhere")))
NAMED = (Corrupt, UnknownSchema, ChainBroken)
COLUMNS = st.sampled_from(
    [
        "common",
        "common_samples",
        "own",
        "clicks",
        "last_event_time",
        "ring_ends",
        "ring_items.text",
        "ring_items.ends",
        "users.text",
        "users.ends",
        "tombstones.text",
        "tombstones.ends",
        "trend_items.text",
        "trend_items.ends",
        "trend_counts",
    ]
)


@given(strategies.changes(4), st.data())
def test_the_rows_of_a_delta_with_any_bytes_replaced_are_read_or_corrupt(changes: Changes, data: st.DataObject) -> None:
    whole = deltas.encode(changes, 4)
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = whole[:at] + data.draw(st.binary(min_size=1, max_size=9)) + whole[at + 1 :]
    with contextlib.suppress(Corrupt):
        assert isinstance(deltas.decode(bad, 4).changes(), Changes)


@given(strategies.changes(2), COLUMNS, st.data())
def test_a_delta_with_any_array_for_a_column_is_read_or_corrupt(
    changes: Changes, column: str, data: st.DataObject
) -> None:
    arrays = safetensors.numpy.load(deltas.encode(changes, 2))
    dtypes = st.sampled_from([np.int64, np.float32, np.uint8, np.float64])
    arrays[column] = data.draw(npst.arrays(dtypes.map(np.dtype[Any]), npst.array_shapes(max_dims=2, max_side=3)))
    with contextlib.suppress(Corrupt):
        assert isinstance(deltas.decode(safetensors.numpy.save(arrays), 2).changes(), Changes)


@given(strategies.samples, st.data())
def test_an_example_with_any_bytes_replaced_is_a_sample_or_refused(sample: Sample, data: st.DataObject) -> None:
    whole = samples.encode(sample)
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + 1 :]
    with contextlib.suppress(*NAMED):
        assert isinstance(samples.decode(bad), Sample)


READERS: list[Callable[[bytes], object]] = [
    samples.decode,
    unframe,
    sample_decoding.decode,
    lambda data: sample_decoding.decode(frame([data])),
    lambda data: deltas.decode(data, 4).changes(),
    validation.decode,
    lambda data: validation.decode(sealed.seal(data)),
    drift.decode,
    lambda data: drift.decode(sealed.seal(data)),
    SERVED.parse,
    lambda data: SERVED.parse(sealed.seal(data)),
    lambda data: bases.parse(data, "a base"),
]


@pytest.mark.parametrize("read", READERS)
@given(st.binary(max_size=60) | st.sampled_from([b"{}", b'{"schema":"freshet.base/2"}', b'{"schema":"\xff"}', b"[[[["]))
def test_any_bytes_for_any_file_are_read_or_refused(read: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(*NAMED):
        read(data)
