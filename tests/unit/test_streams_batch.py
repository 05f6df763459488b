"""What records become when they are read into columns."""

from __future__ import annotations

import pytest

from contracts.events import Click, Context, Event, Rejected, Request, Shown, Tick
from contracts.partitions import partition_of
from streams import batch
from streams.batch import KEPT_BYTES, MAX_NEGATIVES, Batch, Offer, Reader
from streams.clock import Leaps, LogClock
from streams.records import Record, Topic
from tests.support.logs import ONE_PARTITION, START, records


def read(*log: Event | bytes, first: int = 0) -> Batch:
    found = Reader(ONE_PARTITION, 0, LogClock(Leaps())).read(records(log, first), first)
    assert found is not None
    return found


def asked(shown: str, rejected: str) -> Request:
    """A request that showed and rejected the items named by these letters."""
    offered = tuple(Shown(item, position) for position, item in enumerate(shown))
    return Request("r", "u", START, START, shown=offered, rejected=tuple(Rejected(item, "rank") for item in rejected))


def test_every_column_has_an_entry_for_every_record() -> None:
    found = read(Click("u", "i", START, START, "e", "r"), b"rubbish", asked("a", "b"), Tick(START + 1), first=7)
    assert found.offsets == [7, 8, 9, 10]
    assert [type(arrival).__name__ for arrival in found.arrivals] == ["Click", "EventRejected", "Offer", "Tick"]
    assert [bool(key) for key in found.event_keys] == [True, False, False, False]
    assert found.request_keys[0] == found.request_keys[2] != b""
    assert found.request_keys[1] == found.request_keys[3] == b""
    assert found.rejected == [1]
    assert found.course.watermarks == [-1, START, START, START, START + 1]


@pytest.mark.parametrize(
    ("shown", "rejected", "left"), [("ab", "cd", "cd"), ("ab", "bc", "c"), ("ab", "ba", ""), ("", "c", "c")]
)
def test_of_a_request_go_on_the_candidates_that_were_rejected_and_not_shown(
    shown: str, rejected: str, left: str
) -> None:
    offer = read(asked(shown, rejected)).arrivals[0]
    assert isinstance(offer, Offer)
    assert offer.rejected == tuple(left)
    assert offer.stages == ("rank",) * len(left)


def test_the_first_hundred_candidates_that_were_not_shown_go_on() -> None:
    many = tuple(Rejected(f"i{number}", "pre_rank") for number in range(3 * MAX_NEGATIVES))
    request = Request("r", "u", START, START, Context(), (Shown("i0", 0),), many)
    offer = read(request).arrivals[0]
    assert isinstance(offer, Offer)
    assert offer.rejected == tuple(f"i{number}" for number in range(1, MAX_NEGATIVES + 1))
    assert len(offer.stages) == MAX_NEGATIVES


def test_rubbish_counts_as_what_is_kept_of_it() -> None:
    found = read(b"x" * 10_000, b"y", b"")
    assert found.sizes == [KEPT_BYTES, 1, 0]
    assert found.letter(0, "events", 0).value == "x" * KEPT_BYTES
    assert found.letter(2, "events", 0).reason == "empty"


def test_an_event_is_no_dead_letter() -> None:
    with pytest.raises(ValueError, match="is an event"):
        read(Tick(START)).letter(0, "events", 0)


def test_what_a_source_gives_again_within_a_batch_is_left_out() -> None:
    reader, log = Reader(ONE_PARTITION, 0, LogClock(Leaps())), records([Tick(START + n) for n in range(5)])
    found = reader.read([*log[:3], *log[1:], log[0]], 1)
    assert found is not None
    assert found.offsets == [1, 2, 3, 4]
    assert reader.read(log, 5) is None


def test_a_user_of_another_partition_is_a_stranger_however_often_and_moves_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "_MOST_RESIDENTS", 3)
    users = [f"u{number}" for number in range(40)]
    log = records([Click(user, "i", START + at, START + at) for at, user in enumerate(users * 2)])
    found = Reader(Topic("events", "id", 4), 2, LogClock(Leaps())).read(log, 0)
    assert found is not None
    assert found.rejected == [at for at, user in enumerate(users * 2) if partition_of(user, 4) != 2]
    assert 10 < len(found.rejected) < 80
    assert {found.letter(at, "events", 2).reason for at in found.rejected} == {"wrong_partition"}
    last = max(at for at in range(80) if at not in found.rejected)
    assert found.course.watermarks[-1] == START + last


def test_a_record_without_a_value_is_read_as_an_empty_one() -> None:
    found = Reader(ONE_PARTITION, 0, LogClock(Leaps())).read([Record(3, None)], 0)
    assert found is not None
    assert (found.values, found.sizes, found.rejected) == ([b""], [0], [0])
