"""A file is absent or whole under its final name, whatever fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from contracts import durable
from tests.support.faults import failing_fsync, full_disk

WRITERS = [durable.write_file, durable.create_exclusive, durable.replace_file]
FAULTS = [lambda: full_disk(), lambda: full_disk(bytes_left=100_000), lambda: failing_fsync()]
DATA = b"x" * 1_000_000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("fault", FAULTS, ids=["no byte fits", "a part fits", "fsync fails"])
def test_a_failing_write_leaves_nothing_at_all(
    tmp_path: Path, write: Callable[[Path, bytes], object], fault: Callable[[], AbstractContextManager[None]]
) -> None:
    with fault(), pytest.raises(OSError, match=r"File too large|No space left"):
        write(tmp_path / "file", DATA)
    assert names(tmp_path) == []


@pytest.mark.parametrize("fault", FAULTS, ids=["no byte fits", "a part fits", "fsync fails"])
def test_a_failing_replacement_leaves_what_was_there(
    tmp_path: Path, fault: Callable[[], AbstractContextManager[None]]
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with fault(), pytest.raises(OSError, match=r"File too large|No space left"):
        durable.replace_file(tmp_path / "file", DATA)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("write", [durable.create_exclusive, durable.replace_file])
def test_a_failing_directory_is_told_although_the_file_is_there(
    tmp_path: Path, write: Callable[[Path, bytes], object]
) -> None:
    with failing_fsync(after=1), pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", b"data")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"data"


def test_what_exists_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    assert durable.create_exclusive(tmp_path / "file", b"new") is False
    with pytest.raises(FileExistsError):
        durable.write_file(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_successful_write_leaves_the_file_alone(tmp_path: Path) -> None:
    assert durable.create_exclusive(tmp_path / "a", b"1") is True
    durable.replace_file(tmp_path / "a", b"2")
    durable.write_file(tmp_path / "b", b"3")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == {"a": b"2", "b": b"3"}


def test_a_new_file_is_synced_before_it_has_its_name_and_its_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[str]]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "directory" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"
        seen.append((kind, [name for name in names(tmp_path) if not name.startswith(".")]))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.create_exclusive(tmp_path / "file", b"data")
    assert seen == [("file", []), ("directory", ["file"])]


def test_every_new_directory_is_synced_into_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "fsync_directory", synced.append)
    durable.make_directory(tmp_path / "a" / "b")
    assert sorted(synced) == [tmp_path, tmp_path / "a"]


def test_a_finished_directory_is_published_once(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        durable.write_file(tmp_path / name / "file", name.encode())
    assert durable.publish_directory(tmp_path / "first", tmp_path / "final") is True
    assert durable.publish_directory(tmp_path / "second", tmp_path / "final") is False
    assert (tmp_path / "final" / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["final", "second"]


def test_a_directory_that_cannot_be_published_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "finished").mkdir()
    with pytest.raises(OSError, match="No such file"):
        durable.publish_directory(tmp_path / "finished", tmp_path / "nowhere" / "final")
