"""Vectors by id as somebody else writes them, and all the ways in which such a file is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from contracts.errors import MissingInput, TooLarge, UsageError
from examples.import_implicit import columns
from tests.support.two_towers import write_vectors
from trainer.importing.features import read_features
from trainer.importing.tables import Table, content_of, read_items, read_users, require_direction

IDS = ["a", "ß", "c"]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def items(path: Path) -> Table:
    return read_items(path, content_of(path))


def users(path: Path) -> Table:
    return read_users(path, content_of(path))


def test_items_and_users_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = items(write_vectors(tmp_path / "i.safetensors", IDS, VECTORS, biases=VECTORS[:, 0]))
    assert (found.ids, found.vectors.tolist(), found.width) == (IDS, VECTORS.tolist(), 2)
    assert found.biases is not None
    assert found.biases.tolist() == [0, 2, 4]
    other = users(write_vectors(tmp_path / "u.safetensors", IDS, VECTORS, common=VECTORS[1]))
    assert other.common is not None
    assert other.common.tolist() == [2, 3]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2)])
def test_parquet_says_the_same_as_safetensors(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table(
        {"id": pa.array(IDS), "vector": pa.array(VECTORS.tolist(), kind), "bias": pa.array([0.5, 1.5, 2.5])}
    )
    parquet.write_table(table, tmp_path / "i.parquet")
    found = items(tmp_path / "i.parquet")
    assert (found.ids, found.vectors.tolist()) == (IDS, VECTORS.tolist())
    assert found.biases is not None
    assert found.biases.tolist() == [0.5, 1.5, 2.5]


FAULTY: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "twice": (columns(["a", "b", "a"], VECTORS), "the id 'a' is there twice"),
    "empty id": (columns(["a", "", "c"], VECTORS), "'' is no id"),
    "long id": (columns(["a", "b" * 257, "c"], VECTORS), "is no id"),
    "fewer": (columns(IDS, VECTORS[:2]), "3 ids, 2 vectors"),
    "none": (columns([], VECTORS[:0]), "holds no items"),
    "narrow": (columns(IDS, VECTORS[:, :0]), "vectors of width 0"),
    "wide": (columns(IDS, np.zeros((3, 1025))), "vectors of width 1025"),
    "nan": (columns(IDS, np.array([[0, 1], [np.nan, 1], [1, 1]])), "the first that of 'ß', are not finite"),
    "huge": (columns(IDS, VECTORS * 1e6), "not finite, or of 1e\\+06 and more"),
    "flat": (columns(IDS, np.zeros(3)), "column vectors is missing, damaged, or of another type or shape"),
    "numbers as ids": ({"ids": np.arange(3), "vectors": VECTORS}, "holds ids, which means nothing here"),
    "no vectors": (columns(IDS, VECTORS) | {"rows": VECTORS}, "holds rows, which means nothing here"),
    "integers": (columns(IDS, VECTORS) | {"vectors": np.zeros((3, 2), np.int64)}, "column vectors"),
    "cut text": (columns(IDS, VECTORS) | {"ids.ends": np.array([1, 2, 4])}, "column ids"),
    "biases": (columns(IDS, VECTORS) | {"biases": np.zeros(2, np.float32)}, "and not as many biases"),
    "bias nan": (columns(IDS, VECTORS) | {"biases": np.full(3, np.inf, np.float32)}, "3 biases, the first that of 'a'"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_file_that_is_no_items_file_is_refused_with_what_is_wrong(tmp_path: Path, name: str) -> None:
    arrays, sentence = FAULTY[name]
    save_file(arrays, tmp_path / "i.safetensors")
    with pytest.raises(UsageError, match=sentence) as caught:
        items(tmp_path / "i.safetensors")
    assert "i.safetensors" in str(caught.value)


def named(*columns: list[object], names: list[str]) -> pa.Table:
    return pa.table([pa.array(column) for column in columns], names=names)


PARQUET: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "numbers as ids": (lambda: pa.table({"id": [1], "vector": [[1.0]]}), "are not text"),
    "no list": (lambda: pa.table({"id": ["a"], "vector": [1.0]}), "are no lists"),
    "whole numbers": (lambda: pa.table({"id": ["a"], "vector": [[1]]}), "is no float"),
    "ragged": (lambda: pa.table({"id": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}), "different widths, 1 to 2"),
    "no id": (lambda: pa.table({"id": ["a", None], "vector": [[1.0], [2.0]]}), "column id has rows without a value"),
    "holes": (lambda: pa.table({"id": ["a"], "vector": [[1.0, None]]}), "numbers missing"),
    "column": (lambda: pa.table({"id": ["a"], "vector": [[1.0]], "rating": [1.0]}), "columns id, rating, vector"),
    "nothing": (lambda: pa.table({"vector": [[1.0]]}), "columns vector"),
    "two ids": (lambda: named(["a"], [[1.0]], ["b"], names=["id", "vector", "id"]), "one name: id, id, vector"),
    "two vectors": (
        lambda: named(["a"], [[1.0]], [[1.0]], names=["id", "vector", "vector"]),
        "two columns of one name",
    ),
}


@pytest.mark.parametrize("name", PARQUET)
def test_a_parquet_file_that_does_not_fit_is_refused_with_what_is_wrong(tmp_path: Path, name: str) -> None:
    make, sentence = PARQUET[name]
    parquet.write_table(make(), tmp_path / "i.parquet")
    with pytest.raises(UsageError, match=sentence):
        items(tmp_path / "i.parquet")


@pytest.mark.parametrize("name", ["i.safetensors", "i.parquet", "i.csv", "f.json"])
@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"PAR1" + b"\xff" * 40 + b"PAR1", b"\x80\x04\x95pickle"])
def test_rubbish_is_refused_in_a_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        (read_features if name == "f.json" else read_items)(tmp_path / name, data)
    assert caught.value.hint


def test_a_file_that_is_not_there_or_absurdly_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="nowhere cannot be read"):
        content_of(tmp_path / "nowhere")
    (tmp_path / "large").write_bytes(b"x" * 100)
    with pytest.raises(TooLarge, match="100 bytes, more than the 99"):
        content_of(tmp_path / "large", 99)


def test_a_vector_without_direction_has_no_cosine(tmp_path: Path) -> None:
    found = items(write_vectors(tmp_path / "i.safetensors", IDS, VECTORS * [[1], [0], [1]]))
    with pytest.raises(UsageError, match="1 vectors, the first that of 'ß', are of length zero"):
        require_direction(found)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ('{"contexts": {}}', "contexts"),
        ('{"context": {"discrete": [{"name": "a", "values": ["x", "x"]}]}}', "'a' has a value twice"),
        ('{"context": {"continuous": [{"name": "a", "mean": 0, "deviation": 0}]}}', "deviation"),
        ('{"content": {"discrete": [{"name": "a", "values": []}, {"name": "a", "values": []}]}}', "there twice"),
    ],
)
def test_features_that_make_no_sense_are_refused(tmp_path: Path, document: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_features(tmp_path / "f.json", document.encode())
