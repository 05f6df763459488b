"""Samples that TensorFlow has serialized, framed and compressed by itself are read to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from contracts import sample_decoding, sample_encoding
from contracts.errors import Corrupt
from contracts.framing import read_file, unframe
from contracts.samples import columns_of, samples_of
from tests.conformance.random_samples import features, random_samples

WRITER = Path(__file__).parent / "tensorflow_writer.py"
RANDOM = random_samples(300)


@pytest.fixture(scope="module")
def written(tensorflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same samples in two files of TensorFlow's."""
    folder = tmp_path_factory.mktemp("written")
    paths = {name: folder / name for name in ("plain", "gzip")}
    ended = subprocess.run(
        [str(tensorflow_python), str(WRITER), *map(str, paths.values())],
        input=json.dumps(list(map(features, RANDOM))),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return paths


@pytest.mark.parametrize("name", ["plain", "gzip"])
def test_samples_that_tensorflow_wrote_are_read(written: dict[str, Path], name: str) -> None:
    assert samples_of(sample_decoding.decode(read_file(written[name]))) == RANDOM


def test_tensorflows_bytes_are_others_than_ours_so_the_way_for_any_example_was_taken(written: dict[str, Path]) -> None:
    theirs, ours = unframe(read_file(written["plain"])), sample_encoding.records(columns_of(RANDOM))
    assert sum(a != b for a, b in zip(theirs, ours, strict=True)) > len(RANDOM) / 2


def test_a_gzip_file_of_tensorflows_that_is_torn_is_corrupt(written: dict[str, Path], tmp_path: Path) -> None:
    whole = written["gzip"].read_bytes()
    torn = tmp_path / "torn"
    for length in range(2, len(whole), max(1, len(whole) // 50)):
        torn.write_bytes(whole[:length])
        with pytest.raises(Corrupt):
            unframe(read_file(torn))
