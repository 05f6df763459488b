"""An overlay of deltas against a dictionary: the newest row of each user, whatever was compacted in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.arrays import Arrays, TextColumn, pack
from contracts.rows import Row, RowTable, pack_table, unpack_table
from serving import overlay
from serving.overlay import Overlay

WIDTH = 2
users = st.sampled_from([f"u{n}" for n in range(8)] + ["ümlaut", "雪"])
rings = st.lists(st.sampled_from(["i1", "i2", "größe", "雪"]), max_size=4).map(tuple)
rows = st.builds(
    lambda own, clicks, ring: Row(np.array([own, -own], np.float32), clicks, clicks * 10, ring),
    st.integers(-9, 9),
    st.integers(0, 9),
    rings,
)
rounds = st.lists(st.tuples(st.dictionaries(users, rows, max_size=6), st.sets(users, max_size=3)), max_size=12)


def as_read(changed: dict[str, Row]) -> RowTable:
    """The table of these rows as a delta's file gives it."""
    return unpack_table(Arrays(pack(pack_table(RowTable.of(changed, WIDTH))), "a file"), WIDTH, "a file", coded=False)


@pytest.mark.parametrize("slack", [0, 3, 10_000])
@given(rounds)
def test_an_overlay_holds_the_newest_row_of_each_user_and_the_delta_that_made_it(
    slack: int, deltas: list[tuple[dict[str, Row], set[str]]]
) -> None:
    usual, overlay._SLACK = overlay._SLACK, slack
    try:
        made, expected, history = Overlay(), dict[str, tuple[Row | None, int]](), []
        for number, (changed, gone) in enumerate(deltas, start=1):
            history.append((made, dict(expected)))
            made = made.over(as_read(changed), number, gone - changed.keys())
            expected |= dict.fromkeys(gone - changed.keys(), (None, 0))
            expected |= {user: (row, number) for user, row in changed.items()}
        for older, held in [*history, (made, expected)]:
            for user in [f"u{n}" for n in range(8)] + ["ümlaut", "雪", "never"]:
                assert older.get(user) == held.get(user)
    finally:
        overlay._SLACK = usual


def test_rows_that_were_changed_again_are_not_held_for_ever() -> None:
    made = Overlay()
    row = Row(np.ones(WIDTH, np.float32), 1, 1, ("i1",))
    for number in range(1, 200):
        made = made.over(as_read({f"u{n}": row for n in range(1000)}), number, ())
    assert sum(len(part.table) for part in made._parts) <= 2 * 2 * 1000 + overlay._SLACK


@given(st.lists(st.text(max_size=4)), st.data())
def test_a_text_column_gives_the_texts_that_were_packed(texts: list[str], data: st.DataObject) -> None:
    column = Arrays(pack({"a": texts}), "a file").text_column("a")
    assert (len(column), column[:], list(column)) == (len(texts), texts, texts)
    at = data.draw(st.lists(st.integers(0, len(texts) - 1)) if texts else st.just([]))
    chosen = column.chosen(np.array(at, dtype=np.int64))
    assert chosen[:] == [texts[n] for n in at]
    assert chosen.joined([column])[:] == [*(texts[n] for n in at), *texts]


@pytest.mark.parametrize(
    ("blob", "ends"),
    [(b"abc", [2]), (b"abc", [2, 1, 3]), (b"abc", [4]), ("ü".encode(), [1, 2]), (b"\xff", [1]), (b"a", [])],
)
def test_a_text_column_that_no_texts_make_is_refused(blob: bytes, ends: list[int]) -> None:
    with pytest.raises(ValueError, match=r"end|decode"):
        TextColumn(blob, np.array(ends, dtype=np.int64))
