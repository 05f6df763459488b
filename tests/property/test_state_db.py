"""A state DB against a dictionary: what is held, and in which order, wherever RocksDB keeps it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contracts.state_db import KeyRange, StateDB
from tests.support.folds import MemoryDisk

keys = st.binary(min_size=1, max_size=3) | st.sampled_from([b"p", b"p\0", b"p1", b"q", b"\xff", b"\xff\xff"])
ranges = st.tuples(keys, keys).map(lambda ends: KeyRange(min(ends), max(ends)))
puts = st.dictionaries(keys, st.binary(max_size=9), max_size=6)
mixed = st.dictionaries(keys | ranges, st.none(), max_size=3).flatmap(
    lambda gone: puts.map(lambda new: {**gone, **new})
)
batches = st.lists(puts | mixed, max_size=4)
steps = st.lists(st.tuples(batches, st.sampled_from(["", "flush", "reopen"])), max_size=5)


@given(steps, keys)
def test_a_state_db_holds_what_a_dictionary_would_and_in_the_order_of_its_keys(
    done: list[tuple[list[dict[bytes | KeyRange, bytes | None]], str]], prefix: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state, expected = StateDB(Path(folder) / "db"), MemoryDisk()
        for changes, then in done:
            state.write(*changes)
            expected.write(*changes)
            if then == "flush":
                state._db.flush()
            if then == "reopen":
                state.close()
                state = StateDB(Path(folder) / "db")
        held = expected.entries
        asked = [*held, b"absent", prefix]
        assert state.get_many(asked) == [held.get(key) for key in asked]
        assert state.empty() == (not held)
        in_order = sorted((key, value) for key, value in held.items() if key.startswith(prefix))
        assert list(state.scan(prefix)) == [(key[len(prefix) :], value) for key, value in in_order]
        assert list(state.scan(b"")) == sorted(held.items())
        looking = StateDB(Path(folder) / "db", read_only=True)
        assert list(looking.scan(b"")) == sorted(held.items())
        looking.close()
        state.close()
