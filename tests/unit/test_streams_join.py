"""What the joiner does with each kind of click."""

from __future__ import annotations

from contracts.events import Click, Context, Event, Rejected, Request, Shown, Tick
from streams.batch import MAX_NEGATIVES, Reader
from streams.clock import Leaps, LogClock
from streams.join import JoinedClick, Joiner, Room, Windows
from streams.parking import MAX_WAITING
from tests.support.folds import MemoryDisk
from tests.support.logs import MINUTE, ONE_PARTITION, START, records

WINDOWS = Windows(leaps=Leaps(leap_records=1))  # silences need no ticks here


def run(*log: Event) -> tuple[list[str], list[JoinedClick]]:
    """Take a log record by record."""
    joiner, reader = Joiner(WINDOWS, MemoryDisk()), Reader(ONE_PARTITION, 0, LogClock(WINDOWS.leaps))
    outcomes: list[str] = []
    left: list[JoinedClick] = []
    for record in records(log):
        batch = reader.read([record], record.offset)
        assert batch is not None
        joiner.recall(batch)
        taken = joiner.take(0, 1, Room(1000, 1 << 30))
        outcomes += taken.outcomes
        left += taken.leaving
    return outcomes, left


def request(at: int, request_id: str = "r") -> Request:
    shown, rejected = (Shown("a", 0), Shown("b", 1)), (Rejected("b", "rank"), Rejected("c", "pre_rank"))
    return Request(request_id, "u", START + at, START + at, Context({"os": "1"}), shown, rejected, "arm", 3)


def click(at: int, event_id: str = "", request_id: str = "") -> Click:
    return Click("u", "a", START + at, START + at, event_id, request_id)


def test_a_click_without_a_request_leaves_at_once() -> None:
    outcomes, left = run(click(0))
    assert outcomes == ["clicks:direct"]
    assert [(one.joined, one.offset, one.offer) for one in left] == [("direct", 0, None)]


def test_a_click_takes_context_and_rejected_candidates_from_its_request() -> None:
    outcomes, left = run(request(0), click(MINUTE, request_id="r"))
    assert outcomes == ["requests", "clicks:request"]
    assert left[0].offer is not None
    assert left[0].offer.context == Context({"os": "1"})
    assert left[0].offer.served_version == 3


def test_a_candidate_that_was_shown_as_well_is_no_rejected_one() -> None:
    _, left = run(request(0), click(MINUTE, request_id="r"))
    assert left[0].offer is not None
    assert (left[0].offer.rejected, left[0].offer.stages) == (("c",), ("pre_rank",))


def test_a_click_before_its_request_waits_for_it() -> None:
    outcomes, left = run(click(0, request_id="r"), request(MINUTE))
    assert outcomes == ["clicks:parked", "requests"]
    assert [(one.joined, one.offset) for one in left] == [("request", 0)]


def test_a_click_whose_request_does_not_come_leaves_as_an_orphan_after_two_minutes() -> None:
    _, early = run(click(0, request_id="r"), Tick(START + 2 * MINUTE - 1))
    _, left = run(click(0, request_id="r"), Tick(START + 2 * MINUTE), request(3 * MINUTE))
    assert early == []
    assert [(one.joined, one.offer) for one in left] == [("orphan", None)]


def test_a_click_half_an_hour_after_its_request_is_late_and_keeps_its_context() -> None:
    outcomes, left = run(request(0), click(30 * MINUTE, request_id="r"))
    assert outcomes[-1] == "clicks:late"
    assert left[0].joined == "late"
    assert left[0].offer is not None


def test_a_request_is_forgotten_after_a_day() -> None:
    outcomes, _ = run(request(0), click(24 * 60 * MINUTE, request_id="r"))
    assert outcomes[-1] == "clicks:parked"


def test_a_click_with_a_known_event_id_is_a_duplicate_for_a_day() -> None:
    outcomes, left = run(click(0, "e"), click(5, "e"), click(24 * 60 * MINUTE, "e"), click(48 * 60 * MINUTE + 1, "e"))
    assert outcomes == ["clicks:direct", "clicks:duplicate", "clicks:duplicate", "clicks:direct"]
    assert len(left) == 2


def test_clicks_without_an_event_id_are_never_duplicates() -> None:
    assert run(click(0), click(0))[0] == ["clicks:direct"] * 2


def test_timers_fire_in_the_order_of_their_deadlines_then_offsets() -> None:
    late, early = click(10, "1", "x"), click(20, "2", "y")
    _, left = run(late, early, click(20, "3", "x"), Tick(START + 10 * MINUTE))
    assert [one.offset for one in left] == [0, 1, 2]


def test_a_request_id_that_comes_twice_gives_no_hard_negatives() -> None:
    again = Request("r", "u", START + 1, START + 1, shown=(Shown("c", 0),))
    _, left = run(again, request(2), click(MINUTE, request_id="r"))
    assert left[0].offer is not None
    assert left[0].offer.rejected == ()


def test_ids_of_one_user_mean_nothing_for_another() -> None:
    stranger = Click("v", "a", START, START, "e", "r")
    outcomes, left = run(click(0, "e"), stranger, request(1), Tick(START + 10 * MINUTE))
    assert outcomes == ["clicks:direct", "clicks:parked", "requests", "ticks"]
    assert [(one.click.user_id, one.joined) for one in left] == [("u", "direct"), ("v", "orphan")]


def test_clicks_that_wait_for_one_request_are_limited_and_the_next_leaves_as_an_orphan() -> None:
    outcomes, left = run(*(click(n, request_id="r") for n in range(MAX_WAITING + 1)))
    assert outcomes == ["clicks:parked"] * MAX_WAITING + ["clicks:orphan"]
    assert [(one.offset, one.joined) for one in left] == [(MAX_WAITING, "orphan")]


def test_a_request_with_very_many_rejected_candidates_keeps_the_first_hundred() -> None:
    many = tuple(Rejected(f"i{number}", "rank") for number in range(1000))
    _, left = run(Request("r", "u", START, START, rejected=many), click(1, request_id="r"))
    assert left[0].offer is not None
    assert left[0].offer.rejected == tuple(item.item_id for item in many[:MAX_NEGATIVES])
