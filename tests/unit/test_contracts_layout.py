"""Paths: no foreign name leaves its folder, and lexical order is chain order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.layout import Layout, data_name, manifest_name, names, numbered

ROOT = Path("/run/root")
LAYOUT = Layout(ROOT)
FOLDERS: dict[str, Callable[[str], Path]] = {
    "shards": lambda name: LAYOUT.shards(name, 3),
    "deltas": lambda name: LAYOUT.deltas(name, 3),
    "base": LAYOUT.base,
    "stream state": lambda name: LAYOUT.stream_state(name, 3),
    "trainer state": lambda name: LAYOUT.trainer_state(name, 3),
    "worker": LAYOUT.worker_data,
}
NASTY = ["..", ".", "a/b", "../../etc/passwd", "/etc", "a\0b", "a\nb", "%2E%2E", "é", "con:1"]


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("name", NASTY)
def test_a_foreign_name_is_one_segment_below_the_root(folder: Callable[[str], Path], name: str) -> None:
    plain, nasty = folder("plain").relative_to(ROOT).parts, folder(name).relative_to(ROOT).parts
    assert len(nasty) == len(plain)
    assert not {"..", ".", ""} & set(nasty)
    assert [a for a, b in zip(plain, nasty, strict=True) if a != b] == ["plain"]
    assert "\0" not in str(folder(name))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_never_share_a_folder(one: str, other: str) -> None:
    for folder in FOLDERS.values():
        assert (folder(one) == folder(other)) == (one == other)


def test_ordinary_names_are_readable() -> None:
    assert LAYOUT.shards("events", 7) == ROOT / "shards" / "events" / "00007"
    assert LAYOUT.base("full-2017.10.08") == ROOT / "bases" / "full-2017.10.08"


def test_a_folder_of_one_kind_is_never_inside_one_of_another() -> None:
    folders = [folder("name") for folder in FOLDERS.values()] + [LAYOUT.served(), LAYOUT.item_store()]
    assert [(a, b) for a in folders for b in folders if a != b and b.is_relative_to(a)] == []


@given(st.integers(1, 10**20 - 1), st.integers(1, 10**20 - 1))
def test_the_order_of_names_is_the_order_of_numbers(one: int, other: int) -> None:
    assert (manifest_name(one) < manifest_name(other)) == (one < other)
    assert (data_name(one, "x", "y") < data_name(other, "x", "y")) == (one < other)


@given(st.integers(0, 10**20 - 1))
def test_a_name_gives_its_number_back(number: int) -> None:
    assert numbered(manifest_name(number)) == numbered(data_name(number, "abc", "tfrecord")) == number


@pytest.mark.parametrize("name", ["", "README", ".00000000000000000001.json.tmp", "1.json", "²" * 20 + ".json"])
def test_a_foreign_file_has_no_number(name: str) -> None:
    assert numbered(name) is None


def test_the_names_of_folders_come_back_as_they_were_given(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in NASTY:
        layout.shards(name, 0).mkdir(parents=True)
    folder = layout.shards("any", 0).parent.parent
    for foreign in (b"lost+found", b"%ff", b"\xff", b"a b"):
        (folder / os.fsdecode(foreign)).mkdir()
    (folder / "file").write_text("")
    assert names(folder) == sorted(NASTY)
    assert names(tmp_path / "nowhere") == []
