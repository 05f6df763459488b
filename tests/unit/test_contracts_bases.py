"""The store of bases: whole or absent, never overwritten."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import durable, validation
from contracts.arrays import Arrays, pack
from contracts.bases import BaseStore, OpenBase, cpu_family
from contracts.errors import Corrupt, FreshetError, MissingInput
from contracts.layout import Layout
from tests.golden import specimens
from tests.support.faults import failing_fsync


@pytest.fixture
def store(tmp_path: Path) -> BaseStore:
    return BaseStore(Layout(tmp_path))


def written(store: BaseStore) -> OpenBase:
    return store.write(specimens.BASE, specimens.BASE_FILES)


def test_a_run_folder_without_bases_has_none(store: BaseStore) -> None:
    assert store.ids() == []
    with pytest.raises(MissingInput, match="no base 'full'") as error:
        store.open("full")
    assert "freshet trainer retrain" in error.value.hint


def test_an_unknown_base_names_those_that_are_there(store: BaseStore) -> None:
    written(store)
    with pytest.raises(MissingInput) as error:
        store.open("other")
    assert specimens.BASE_ID in error.value.hint


def test_a_base_that_exists_is_left_as_it_is(store: BaseStore) -> None:
    first = written(store)
    second = store.write(specimens.BASE, {"dense.safetensors": b"other"})
    assert second.digest == first.digest
    assert [path.name for path in store.layout.bases().iterdir()] == [specimens.BASE_ID]


def test_a_base_that_was_not_finished_does_not_exist(store: BaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(durable, "publish_directory", never)
        written(store)
    assert store.ids() == []
    assert written(store).manifest.files
    assert store.ids() == [specimens.BASE_ID]


def test_a_failing_disk_leaves_no_base(store: BaseStore) -> None:
    with failing_fsync(after=4), pytest.raises(OSError, match="No space left"):
        written(store)
    assert store.ids() == []
    assert written(store).manifest.base_id == specimens.BASE_ID


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_base_with_a_number_that_json_cannot_hold_is_not_written(store: BaseStore, number: float) -> None:
    with pytest.raises(Corrupt, match="the new base"):
        store.write(msgspec.structs.replace(specimens.BASE, metrics={"recall": number}), {})
    assert store.ids() == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_not_written(number: float) -> None:
    score = msgspec.structs.replace(specimens.BLOCK_SCORES[0], loss=number)
    with pytest.raises(FreshetError, match="the loss of arm served at sample 0") as error:
        validation.encode([score])
    assert "diverged" in error.value.hint


def test_a_file_that_the_manifest_does_not_name_is_refused(store: BaseStore) -> None:
    base = written(store)
    (store.layout.base(specimens.BASE_ID) / "extra").write_bytes(b"x")
    with pytest.raises(Corrupt, match="extra"):
        base.file("extra")


def test_a_column_of_another_type_or_shape_is_refused() -> None:
    arrays = Arrays(pack({"a": np.zeros((2, 3), np.float32), "t": ["x", "yz"]}), "it")
    assert arrays.texts("t") == ["x", "yz"]
    assert arrays.floats("a", 2, -1).shape == (2, 3)
    for bad in (
        lambda: arrays.floats("a", 3, 2),
        lambda: arrays.floats("a", 6),
        lambda: arrays.doubles("a", 2, 3),
        lambda: arrays.integers("missing", 1),
        lambda: arrays.texts("a"),
    ):
        with pytest.raises(Corrupt, match="it is damaged at column"):
            bad()


def test_the_processor_has_a_family() -> None:
    assert cpu_family() == cpu_family() != ""


def test_of_two_attempts_at_one_base_at_once_one_wins_whole(store: BaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file = durable.write_file
    interrupted: list[Path] = []

    def write_after_another_attempt(path: Path, data: bytes) -> None:
        if not interrupted:
            interrupted.append(path)
            written(store)
        write_file(path, data)

    monkeypatch.setattr(durable, "write_file", write_after_another_attempt)
    written(store).verify()
    assert interrupted
    assert sorted(path.name for path in store.layout.bases().iterdir()) == [specimens.BASE.base_id]


@pytest.mark.parametrize(
    "wrong",
    [
        {"partitions": 0, "cut": ()},
        {"cut": (1,) * (specimens.BASE.partitions + 1)},
        {"towers": msgspec.structs.replace(specimens.BASE.towers, temperature=0.0)},
        {"online": msgspec.structs.replace(specimens.BASE.online, half_life_ms=0)},
        {"online": msgspec.structs.replace(specimens.BASE.online, floor=0.0)},
        {"online": msgspec.structs.replace(specimens.BASE.online, beta=-1.0)},
    ],
    ids=repr,
)
def test_a_base_with_a_number_out_of_range_is_refused_before_anything_is_written(
    store: BaseStore, wrong: dict[str, object]
) -> None:
    with pytest.raises(Corrupt):
        store.write(msgspec.structs.replace(specimens.BASE, **wrong), specimens.BASE_FILES)
    assert store.ids() == []
