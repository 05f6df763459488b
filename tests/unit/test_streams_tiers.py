"""What is remembered where, and until when."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.state_db import StateDB
from streams import tiers
from streams.join import _pack_deadline, _unpack_deadline
from streams.tiers import Tier

LIFE = 1000


@pytest.fixture
def disk(tmp_path: Path) -> StateDB:
    return StateDB(tmp_path / "db")


def tier() -> Tier[int]:
    return Tier(b"s", LIFE, _pack_deadline, _unpack_deadline)


def test_what_was_committed_is_recalled_by_another_tier_over_the_same_disk(disk: StateDB) -> None:
    first = tier()
    first.put(b"key", 1500, 1500)
    disk.write(first.take_changes(500))
    second = tier()
    assert second.get(b"key") is None
    second.recall([b"key", b"other"], 600, disk)
    assert (second.get(b"key"), second.get(b"other")) == (1500, None)


def test_memory_lets_go_what_is_on_disk_and_nothing_else(disk: StateDB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "RECENT", 2)
    held = tier()
    for number in range(10):
        held.put(b"%d" % number, 1500, 1500)
        held.turn()
    assert all(held.get(b"%d" % number) == 1500 for number in range(10)), "not committed yet"
    disk.write(held.take_changes(500))
    for number in range(10, 20):
        held.turn()
        held.put(b"%d" % number, 1500, 1500)
        disk.write(held.take_changes(500))
    assert held.get(b"0") is None
    held.recall([b"0"], 500, disk)
    assert held.get(b"0") == 1500


def test_a_key_that_was_put_again_is_recalled_as_it_was_put_last(disk: StateDB) -> None:
    held = tier()
    for watermark in (500, 1400, 2300):
        held.put(b"key", watermark + LIFE, watermark + LIFE)
        disk.write(held.take_changes(watermark))
    again = tier()
    again.recall([b"key"], 2300, disk)
    assert again.get(b"key") == 3300


def test_what_is_over_is_deleted_from_disk_and_what_lives_is_not(disk: StateDB) -> None:
    held = tier()
    for watermark in range(0, 20_000, 100):
        held.put(b"%d" % watermark, watermark + LIFE, watermark + LIFE)
        disk.write(held.take_changes(watermark))
        kept = [int.from_bytes(value, "big") for _, value in disk.scan(b"s")]
        assert {time + LIFE for time in range(max(0, watermark - LIFE + 100), watermark + 1, 100)} <= set(kept)
        assert min(kept) > watermark - 2 * LIFE
