"""What is remembered where, and until when."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.state_db import StateDB
from streams.tiers import Tier
from tests.support.folds import MemoryDisk

LIFE = 1000


@pytest.fixture
def disk(tmp_path: Path) -> StateDB:
    return StateDB(tmp_path / "db")


def tier() -> Tier[int]:
    return Tier(b"s", LIFE, lambda number: number.to_bytes(8, "big"), lambda packed: int.from_bytes(packed, "big"))


def commit(held: Tier[int], watermark: int, disk: StateDB) -> None:
    disk.write(*held.take_changes(watermark))


def put(held: Tier[int], key: bytes, watermark: int, disk: StateDB) -> int | None:
    """Put a key at a watermark, and return what it held until then."""
    held.recall([key], watermark, disk)
    return held.swap(key, watermark + LIFE, watermark + LIFE)


def recalled(held: Tier[int], key: bytes, watermark: int, disk: StateDB) -> int | None:
    held.recall([key], watermark, disk)
    return held.get(key)


def test_what_was_committed_is_recalled_by_another_tier_over_the_same_disk(disk: StateDB) -> None:
    first, second = tier(), tier()
    put(first, b"key", 500, disk)
    commit(first, 500, disk)
    second.restore(next(iter(disk.scan(b"s")))[0])
    assert recalled(second, b"key", 600, disk) == 1500
    assert recalled(second, b"other", 600, disk) is None


def test_a_tier_that_has_been_told_of_nothing_on_disk_does_not_ask_there() -> None:
    class Never(MemoryDisk):
        def get_many(self, keys: object) -> list[bytes | None]:
            raise AssertionError("it was asked")

    held = tier()
    held.recall([b"key"], 500, Never())
    held.swap(b"key", 1500, 1500)
    held.recall([b"key"], 500, Never())
    assert held.get(b"key") == 1500


def test_what_is_not_committed_yet_is_in_memory_and_what_is_committed_on_disk(disk: StateDB) -> None:
    held = tier()
    for number in range(10):
        put(held, b"%d" % number, 500, disk)
    assert all(recalled(held, b"%d" % number, 500, disk) == 1500 for number in range(10))
    changes = held.take_changes(500)
    assert recalled(held, b"0", 500, disk) is None, "it was taken, and is not written yet"
    disk.write(*changes)
    assert all(recalled(held, b"%d" % number, 500, disk) == 1500 for number in range(10))
    assert held.take_changes(500) == []


def test_a_key_that_was_put_again_is_recalled_as_it_was_put_last(disk: StateDB) -> None:
    held, before = tier(), list[int | None]()
    for watermark in (500, 1400, 2300):
        before.append(put(held, b"key", watermark, disk))
        commit(held, watermark, disk)
    assert before == [None, 1500, 2400]
    assert recalled(held, b"key", 2300, disk) == 3300


def test_a_key_may_be_put_and_asked_for_again_within_a_batch_and_across_a_commit(disk: StateDB) -> None:
    held = tier()
    held.recall([b"key", b"key"], 500, disk)
    assert [held.swap(b"key", 1500, 1500), held.get(b"key")] == [None, 1500]
    commit(held, 500, disk)
    assert [held.get(b"key"), held.swap(b"key", 1600, 1600)] == [1500, 1500]
    commit(held, 600, disk)
    assert recalled(held, b"key", 600, disk) == 1600


def test_what_is_over_is_deleted_from_disk_and_what_lives_is_not(disk: StateDB) -> None:
    held = tier()
    for watermark in range(0, 20_000, 100):
        put(held, b"%d" % watermark, watermark, disk)
        commit(held, watermark, disk)
        kept = [int.from_bytes(value, "big") for _, value in disk.scan(b"s")]
        assert {time + LIFE for time in range(max(0, watermark - LIFE + 100), watermark + 1, 100)} <= set(kept)
        assert min(kept) > watermark - 2 * LIFE


def test_a_tier_begun_over_an_old_disk_deletes_what_is_over_there(disk: StateDB) -> None:
    first = tier()
    put(first, b"old", 500, disk)
    commit(first, 500, disk)
    second = tier()
    second.restore(next(iter(disk.scan(b"s")))[0])
    commit(second, 1900, disk)
    assert [key[-3:] for key, _ in disk.scan(b"s")] == [b"old"], "its generation may still hold what lives"
    commit(second, 2000, disk)
    assert list(disk.scan(b"s")) == []
