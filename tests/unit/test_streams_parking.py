"""Clicks that wait: who leaves, when, and what another process finds of them."""

from __future__ import annotations

from contracts.events import Click
from contracts.state_db import Changes
from streams import parking
from streams.clock import NEVER
from streams.parking import MAX_WAITING, PARKED, Parking
from tests.support.folds import MemoryDisk

PARK = 100


def click(number: int) -> Click:
    return Click("u", f"i{number}", 1, 1, request_id="r")


def filled(count: int) -> Parking:
    """Clicks parked at watermarks 0, 10, 20 …, by turns for two requests."""
    held = Parking(PARK)
    for number in range(count):
        assert held.park(click(number), b"ab"[number % 2 : number % 2 + 1], number, 10 * number)
    return held


def offsets(left: list[parking.ParkedClick]) -> list[int]:
    return [one.offset for one in left]


def test_a_request_takes_the_clicks_that_wait_for_it_and_no_others() -> None:
    held = filled(5)
    assert offsets(held.claim(b"a")) == [0, 2, 4]
    assert held.claim(b"a") == []
    assert offsets(held.due(10_000)) == [1, 3]


def test_whose_time_is_over_leaves_in_order_and_the_next_deadline_is_told() -> None:
    held = filled(4)
    assert held.next_deadline == PARK
    assert offsets(held.due(PARK + 10)) == [0, 1]
    assert held.next_deadline == PARK + 20
    assert offsets(held.due(PARK + 100)) == [2, 3]
    assert held.next_deadline == NEVER
    assert held.size == 0


def test_deadlines_of_clicks_that_have_found_their_request_do_not_pile_up() -> None:
    held = Parking(PARK)
    for number in range(20 * MAX_WAITING):
        held.park(click(number), b"a", number, number)
        held.claim(b"a")
    assert len(held._deadlines) <= MAX_WAITING + 1


def test_what_is_restored_from_changes_is_what_was_parked() -> None:
    held, disk = filled(6), MemoryDisk()
    changes: list[Changes] = held.take_changes()
    disk.write(*changes)
    held.claim(b"b")
    disk.write(*held.take_changes())
    assert held.take_changes() == []
    again = Parking(PARK)
    for _, packed in sorted(disk.entries.items()):
        again.restore(packed)
    assert {key[:1] for key in disk.entries} == {PARKED}
    assert again.size == held.size
    assert again.release_all() == held.release_all() != []
