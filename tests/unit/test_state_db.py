"""A state DB that is looked at while its writer goes on: what an inspection of a running worker sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.errors import StateDamaged
from contracts.state_db import StateDB

LOOKS = 300  # a hundredth of them and more met tables that were gone, before readers looked again


@contextmanager
def merging(state: StateDB) -> Iterator[None]:
    """Let the DB write and merge tables without a pause."""
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            state.write({number.to_bytes(4, "big"): b"value"})
            state._db.flush()
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def test_a_look_at_a_db_whose_writer_merges_tables_all_the_while_finds_no_damage(tmp_path: Path) -> None:
    state = StateDB(tmp_path / "db")
    state.write({b"first": b"value"})
    state._db.flush()
    with merging(state):
        for _ in range(LOOKS):
            looking = StateDB(tmp_path / "db", read_only=True)
            assert looking.get(b"first") == b"value"
            looking.close()
    state.close()


def test_what_a_reader_opened_stays_readable_when_the_writer_deletes_its_tables(tmp_path: Path) -> None:
    state = StateDB(tmp_path / "db")
    for key in (b"a", b"b", b"c"):
        state.write({b"": b"in all of them", key: b"then"})
        state._db.flush()
    tables = set(tmp_path.glob("db/*.sst"))
    looking = StateDB(tmp_path / "db", read_only=True)
    state.write({b"a": b"now"})
    state._db.flush()
    state._db.compact_range(None, None)
    assert not any(table.exists() for table in tables)
    then = [(b"a", b"then"), (b"b", b"then"), (b"c", b"then")]
    assert list(looking.scan(b"")) == [(b"", b"in all of them"), *then]
    looking.close()
    state.close()


def test_a_table_that_is_gone_for_good_is_damage_to_a_reader(tmp_path: Path) -> None:
    state = StateDB(tmp_path / "db")
    state.write({b"a": b"value"})
    state._db.flush()
    state.close()
    for table in tmp_path.glob("db/*.sst"):
        table.unlink()
    with pytest.raises(StateDamaged):
        StateDB(tmp_path / "db", read_only=True)
