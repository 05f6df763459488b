"""The external merge sort: in order whatever its memory, and no file is left."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest

from contracts.errors import FreshetError
from streams.sources.time_order import TimeOrder


@pytest.mark.parametrize("run_bytes", [1, 5_000, 1 << 26])
def test_entries_come_back_in_the_order_of_time_and_of_adding_however_little_memory_there_is(run_bytes: int) -> None:
    dice = random.Random(7)
    entries = [(dice.randrange(-20, 20), f"{n}".encode() * dice.randrange(9)) for n in range(2_000)]
    with TimeOrder(run_bytes) as order:
        for time, data in entries:
            order.add(time, data)
        assert list(order) == sorted(entries, key=lambda entry: entry[0])
        assert list(order) == sorted(entries, key=lambda entry: entry[0])  # as often as one likes


def test_an_entry_larger_than_what_is_read_at_once_comes_back_whole() -> None:
    large = os.urandom(1_000_000)
    with TimeOrder(run_bytes=1) as order:
        for time in (3, 1, 2):
            order.add(time, large + bytes([time]))
        assert list(order) == [(time, large + bytes([time])) for time in (1, 2, 3)]


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with TimeOrder(run_bytes=1) as order:
        order.add(1, b"x")
        assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_is_gone_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with TimeOrder(run_bytes=1) as order, pytest.raises(FreshetError, match="no room to sort the log") as refused:
        order.add(1, b"x")
    assert "TMPDIR" in refused.value.hint
