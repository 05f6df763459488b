"""TensorFlow's own parser reads our TFRecord files, to the last bit of every feature."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from contracts import sample_encoding
from contracts.sample_columns import SCHEMA
from contracts.samples import Sample, columns_of
from tests.conformance.random_samples import random_samples
from tests.golden import make, specimens
from tests.support.damage import flips

READER = Path(__file__).parent / "tensorflow_reader.py"
DESCRIPTION = {
    "scalars": {
        **dict.fromkeys(["user_id", "item_id", "joined", "arm", "source_topic"], "bytes"),
        **dict.fromkeys(["schema", "event_time", "served_version", "watermark", "ordinal"], "int64"),
        **dict.fromkeys(["source_partition", "source_offset"], "int64"),
        "context/discrete/device": "bytes",
        "context/continuous/hour": "float",
    },
    "lists": {"hard_negatives": "bytes", "hard_negative_stages": "bytes"},
}


RANDOM = random_samples(300)


def expected(sample: Sample) -> dict[str, object]:
    """What TensorFlow has to see."""
    hour = sample.context.continuous.get("hour")
    return {
        "schema": SCHEMA,
        "user_id": sample.user_id,
        "item_id": sample.item_id,
        "event_time": sample.event_time,
        "joined": sample.joined,
        "arm": sample.arm,
        "served_version": sample.served_version,
        "watermark": sample.watermark,
        "ordinal": sample.ordinal,
        "source_topic": sample.source.topic,
        "source_partition": sample.source.partition,
        "source_offset": sample.source.offset,
        "context/discrete/device": sample.context.discrete.get("device", "<missing>"),
        "context/continuous/hour": "nan" if hour is None else hour.hex(),
        "hard_negatives": [negative.item_id for negative in sample.hard_negatives],
        "hard_negative_stages": [negative.stage for negative in sample.hard_negatives],
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files to read: random samples, the golden shard, one with a flipped bit, one cut off."""
    folder = tmp_path_factory.mktemp("tfrecords")
    whole = sample_encoding.encode(columns_of(specimens.SAMPLES))
    contents = {
        "random": sample_encoding.encode(columns_of(RANDOM)),
        "flipped": next(bad for at, bad in flips(whole) if at == len(whole) // 2),
        "torn": whole[:-1],
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (golden,) = make.FOLDER.rglob("*.tfrecord")
    return {"golden": golden, **{name: folder / name for name in contents}}


@pytest.fixture(scope="module")
def seen(tensorflow_python: Path, files: dict[str, Path]) -> dict[str, object]:
    """What TensorFlow makes of each file."""
    ended = subprocess.run(
        [str(tensorflow_python), str(READER), *map(str, files.values())],
        input=json.dumps(DESCRIPTION),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return dict(zip(files, map(json.loads, ended.stdout.splitlines()), strict=True))


def test_tensorflow_sees_every_feature_of_every_sample(seen: dict[str, object]) -> None:
    assert seen["random"] == [expected(sample) for sample in RANDOM]


def test_tensorflow_reads_the_golden_shard(seen: dict[str, object]) -> None:
    assert seen["golden"] == [expected(sample) for sample in specimens.SAMPLES]


@pytest.mark.parametrize("damage", ["flipped", "torn"])
def test_tensorflow_notices_damage_by_our_framing(seen: dict[str, object], damage: str) -> None:
    assert seen[damage] == "DataLossError"
