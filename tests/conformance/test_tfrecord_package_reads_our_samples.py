"""The tfrecord package's own reader reads our files, and we read its writer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tfrecord

from contracts import sample_decoding, sample_encoding
from contracts.framing import frame, read_file, unframe
from contracts.samples import columns_of, samples_of
from tests.conformance.random_samples import features, random_samples
from tests.golden import specimens

RANDOM = random_samples(300)
_KINDS = {"bytes": "byte", "float": "float", "int64": "int"}
DESCRIPTION = {
    "user_id": "byte",
    "item_id": "byte",
    "joined": "byte",
    "event_time": "int",
    "ordinal": "int",
    "source_offset": "int",
}


def test_the_tfrecord_package_reads_our_samples(tmp_path: Path) -> None:
    path = tmp_path / "shard.tfrecord"
    path.write_bytes(sample_encoding.encode(columns_of(specimens.SAMPLES)))
    found = list(tfrecord.tfrecord_loader(str(path), None, DESCRIPTION))
    assert len(found) == len(specimens.SAMPLES)
    for record, sample in zip(found, specimens.SAMPLES, strict=True):
        assert [bytes(record[name]).decode() for name in ("user_id", "item_id", "joined")] == [
            sample.user_id,
            sample.item_id,
            sample.joined,
        ]
        assert [int(record[name][0]) for name in ("event_time", "ordinal", "source_offset")] == [
            sample.event_time,
            sample.ordinal,
            sample.source.offset,
        ]


def test_the_tfrecord_package_reads_context_and_negatives(tmp_path: Path) -> None:
    path = tmp_path / "shard.tfrecord"
    sample = specimens.SAMPLES[0]
    path.write_bytes(sample_encoding.encode(columns_of([sample])))
    wanted = {"context/discrete/device": "byte", "context/continuous/hour": "float"}
    (record,) = tfrecord.tfrecord_loader(str(path), None, wanted)
    assert bytes(record["context/discrete/device"]) == b"phone"
    np.testing.assert_array_equal(record["context/continuous/hour"], np.array([13.5], np.float32))
    (whole,) = tfrecord.tfrecord_loader(str(path), None, None)
    assert {name for name in whole if name.startswith("hard_negative")} == {"hard_negatives", "hard_negative_stages"}
    assert [bytes(item).decode() for item in whole["hard_negatives"]] == [n.item_id for n in sample.hard_negatives]


def test_records_of_the_tfrecord_packages_writer_are_framed_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "theirs.tfrecord"
    writer = tfrecord.TFRecordWriter(str(path))
    for number in range(3):
        writer.write({"number": (number, "int"), "name": (b"x" * number * 100, "byte")})
    writer.close()
    records = unframe(path.read_bytes())
    assert len(records) == 3
    assert frame(records) == path.read_bytes()


def test_samples_of_the_tfrecord_packages_writer_are_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.tfrecord"
    writer = tfrecord.TFRecordWriter(str(path))
    for sample in RANDOM:
        writer.write({name: (_values(kind, values), _KINDS[kind]) for name, kind, values in features(sample)})
    writer.close()
    assert samples_of(sample_decoding.decode(read_file(path))) == RANDOM


def test_the_tfrecord_package_reads_every_feature_of_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "ours.tfrecord"
    path.write_bytes(sample_encoding.encode(columns_of(RANDOM)))
    for record, sample in zip(tfrecord.tfrecord_loader(str(path), None, None), RANDOM, strict=True):
        wanted = {name: _values(kind, values) for name, kind, values in features(sample)}
        assert record.keys() == wanted.keys()
        for name, values in wanted.items():  # its array of several texts has lost the NULs at their ends
            cut = [value.rstrip(b"\0") for value in values] if len(values) > 1 else values
            assert np.atleast_1d(np.asarray(record[name], object)).tolist() == cut


def _values(kind: str, values: list[Any]) -> list[Any]:
    if kind == "float":
        return [float.fromhex(value) for value in values]
    return [value.encode() for value in values] if kind == "bytes" else values
