"""A delta follows exactly one state; compacting changes nothing; a rollback hides what it holds."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import deltas, served
from contracts.chain import Entry
from contracts.deltas import Changes, Delta
from contracts.errors import WrongParent
from contracts.layout import Layout
from contracts.rows import RING, Row, pushed
from contracts.served import Hold, Position, Served
from tests.golden import specimens
from tests.support import strategies

BASE = "ab" * 32


@pytest.fixture
def following(tmp_path: Path) -> tuple[Entry[Delta], Entry[Delta]]:
    """Two deltas, the second after the first, on a base cut at ordinal 0."""
    chain = deltas.chain(Layout(tmp_path), "base", 0)
    for body in specimens.deltas(BASE):
        chain.create(chain.prepare(chain.head(), body, {}))
    first, second = chain.entries()
    return first, second


def test_the_deltas_of_a_chain_follow_their_base_and_one_another(
    following: tuple[Entry[Delta], Entry[Delta]],
) -> None:
    first, second = following
    deltas.check_follows(first, BASE, None, 0)
    deltas.check_follows(second, BASE, first, 0)


def test_a_wrong_base_a_wrong_parent_a_gap_and_a_repetition_are_refused(
    following: tuple[Entry[Delta], Entry[Delta]],
) -> None:
    first, second = following
    with pytest.raises(WrongParent, match="another base"):
        deltas.check_follows(first, "cd" * 32, None, 0)
    with pytest.raises(WrongParent, match="does not follow"):
        deltas.check_follows(second, BASE, None, 0)
    with pytest.raises(WrongParent, match="does not follow"):
        deltas.check_follows(first, BASE, first, 0)
    with pytest.raises(WrongParent, match="starts at sample 0, not at 5"):
        deltas.check_follows(first, BASE, None, 5)


def test_a_delta_with_a_gap_after_its_parent_is_refused(tmp_path: Path) -> None:
    chain = deltas.chain(Layout(tmp_path), "base", 0)
    body, later = specimens.deltas(BASE)
    first = chain.prepare(None, body, {})
    second = chain.prepare(first, msgspec.structs.replace(later, first_ordinal=9), {})
    with pytest.raises(WrongParent, match="starts at sample 9, not at 2"):
        deltas.check_follows(second, BASE, first, 0)


def test_a_delta_of_another_branch_with_the_right_number_is_refused(tmp_path: Path) -> None:
    chain = deltas.chain(Layout(tmp_path), "base", 0)
    body, later = specimens.deltas(BASE)
    mine, theirs = (chain.prepare(None, msgspec.structs.replace(body, learned=n), {}) for n in (1, 2))
    with pytest.raises(WrongParent, match="does not follow"):
        deltas.check_follows(chain.prepare(theirs, later, {}), BASE, mine, 0)


def encoded(changes: Changes | None) -> bytes:
    assert changes is not None
    return deltas.encode(changes, 2)


@dataclass
class State:
    """The online state of a partition as plain dictionaries: what a delta says, done in the most obvious way."""

    rows: dict[str, Row]
    admission: dict[str, int]
    trend: dict[str, float]

    def after(self, changes: Changes) -> State:
        gone = changes.tombstones
        rows = {user: row for user, row in self.rows.items() if user not in gone} | changes.rows
        waiting = {user: n for user, n in self.admission.items() if user not in gone and user not in changes.rows}
        return State(rows, waiting | changes.admission, self.trend | changes.trend)

    def facts(self) -> tuple[object, ...]:
        rows = {user: (row.own.tobytes(), row.clicks, row.last_event_time, row.ring) for user, row in self.rows.items()}
        return rows, self.admission, self.trend


few_users = st.sampled_from(["u1", "u2", "u3"])
of_few_users = strategies.changes(2, few_users)


@given(of_few_users, st.lists(of_few_users, min_size=1, max_size=4))
def test_deltas_applied_one_by_one_are_the_same_as_compacted(start: Changes, found: list[Changes]) -> None:
    before = State(start.rows, start.admission, start.trend)
    compacted = deltas.compacted(found)
    assert compacted is not None
    assert before.after(compacted).facts() == functools.reduce(State.after, found, before).facts()
    assert (compacted.common.tobytes(), compacted.common_samples) == (
        found[-1].common.tobytes(),
        found[-1].common_samples,
    )


@given(st.lists(of_few_users, min_size=1, max_size=4), st.integers(0, 4))
def test_deltas_may_be_compacted_in_any_groups_and_are_left_as_they_are(found: list[Changes], cut: int) -> None:
    before = [encoded(changes) for changes in found]
    in_groups = [deltas.compacted(group) for group in (found[:cut], found[cut:]) if group]
    assert encoded(deltas.compacted(group for group in in_groups if group)) == encoded(deltas.compacted(found))
    assert [encoded(changes) for changes in found] == before


def test_a_user_who_came_back_is_no_tombstone() -> None:
    gone, back = Changes(specimens.COMMON, 1, tombstones={"u"}), Changes(specimens.COMMON, 2, rows=dict(specimens.ROWS))
    back.rows["u"] = specimens.ROWS["user-2"]
    compacted = deltas.compacted([gone, back])
    assert compacted is not None
    assert (compacted.tombstones, set(compacted.rows)) == (set(), {"u", *specimens.ROWS})


def test_compacting_nothing_is_nothing() -> None:
    assert deltas.compacted([]) is None


def test_a_ring_holds_the_newest_items_once() -> None:
    ring: tuple[str, ...] = ()
    for number in range(RING + 10):
        ring = pushed(ring, f"item-{number}")
    assert ring == tuple(f"item-{number}" for number in range(10, RING + 10))
    assert pushed(("a", "b", "c"), "a") == ("b", "c", "a")


def served_at(delta: int, *holds: Hold) -> Served:
    first, _ = specimens.served(BASE, ("", ""))
    return msgspec.structs.replace(first, positions=(Position(3, delta, "", 0, 0),), holds=holds)


def test_what_is_served_is_every_delta_up_to_its_position_but_those_held() -> None:
    assert served.included(served_at(0), 3) == []
    assert served.included(served_at(4), 3) == [1, 2, 3, 4]
    assert served.included(served_at(4), 2) == []
    assert served.included(served_at(5, Hold(3, 2, 3), Hold(2, 1, 5)), 3) == [1, 4, 5]
