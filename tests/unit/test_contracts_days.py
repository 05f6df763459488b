"""Days and spans by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import days
from contracts.errors import UsageError
from contracts.events import EARLIEST, LATEST

times = st.integers(EARLIEST, LATEST)


@given(times, st.integers(1, 10**11))
def test_the_name_of_a_span_gives_its_bounds_back_in_any_zone(start: int, length: int) -> None:
    name = days.span(start, start + length)
    assert days.bounds(name, "UTC") == days.bounds(name, "America/Sao_Paulo") == (start, start + length)


def test_a_span_without_a_zone_is_meant_in_the_zone_of_the_days() -> None:
    whole = "2017-10-05T00:00/2017-10-06T00:00"
    assert days.bounds(whole, "America/Sao_Paulo") == days.bounds("2017-10-05", "America/Sao_Paulo")


def test_a_span_has_the_date_of_its_last_moment() -> None:
    assert days.last_date("2025-01-06T08:00Z/2025-01-07T00:00Z", "UTC") == "2025-01-06"
    assert days.last_date("2025-01-06T08:00Z/2025-01-07T00:00:00.001Z", "UTC") == "2025-01-07"
    assert days.last_date("2025-01-06", "UTC") == "2025-01-06"


@pytest.mark.parametrize("name", ["a/b", "/", "2025/01/06", "2025-01-06/2025-01-05", "2025-01-06/2025-01-06", "x"])
def test_what_is_neither_a_day_nor_a_span_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        days.bounds(name, "UTC")


def test_people_read_days_and_spans_in_words() -> None:
    assert days.in_words("2025-01-06") == "on 2025-01-06"
    span = "2025-01-06T08:00Z/2025-01-06T20:00Z"
    assert days.in_words(span, "Asia/Tokyo") == "from 2025-01-06 17:00:00 to 2025-01-07 05:00:00"
