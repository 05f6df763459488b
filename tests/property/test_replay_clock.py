"""A time is found in a log where a clock that reads the whole log comes to it, whatever is wrong with some clocks."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.clock import NO_WATERMARK, Leaps, LogClock
from streams.replay_clock import NEAR, Arrival, ClockSearch, Seen
from tests.support.logs import MINUTE, START

HOUR = 60 * MINUTE
YEARS = 5 * 365 * 24 * HOUR
LEAPS = Leaps()


@dataclass
class Reader:
    """Reads a log as `ClockSearch` asks, and counts."""

    log: list[Seen]
    read: int = 0

    def __call__(self, offset: int, end: int) -> Iterator[Seen]:
        for place in range(bisect_left(self.log, (offset, 0)), bisect_left(self.log, (end, 0))):
            self.read += 1
            yield self.log[place]

    def search(self) -> ClockSearch:
        return ClockSearch(LEAPS, self, (self.log[0].offset, self.log[-1].offset + 1))


@dataclass(frozen=True)
class Faults:
    """What is wrong with a log of `size` events: see `disturbed`."""

    seed: int
    size: int
    step_ms: int
    holes: bool
    disorder_ms: int
    ahead_ms: int
    silences: tuple[int, ...]  # how many minutes each
    ticks: bool
    far: tuple[int, ...]  # where, in thousandths of the log


def disturbed(faults: Faults) -> list[Seen]:
    """Return a log with silences, disorder, one of three producers ahead, and single events five years ahead."""
    dice = random.Random(faults.seed)
    silent = {dice.randrange(faults.size): minutes * MINUTE for minutes in faults.silences}
    times: list[int] = []
    now = START
    for number in range(faults.size):
        if faults.ticks:
            times += range(now, now + silent.get(number, 0), 5 * MINUTE)
        now += dice.randrange(2 * faults.step_ms) + silent.get(number, 0)
        ahead = dice.randrange(3) == 0 and faults.ahead_ms
        times.append(now - dice.randrange(faults.disorder_ms + 1) + ahead)
    for place in faults.far:
        times[place * (len(times) - 1) // 1000] += YEARS
    offsets = accumulate((dice.choice((1, 1, 2, 9)) if faults.holes else 1 for _ in times[1:]), initial=0)
    return [*map(Seen, offsets, times)]


faulty = st.builds(
    Faults,
    seed=st.integers(0, 1 << 30),
    size=st.sampled_from([1, 100, 700, 3000, 9000]),
    step_ms=st.sampled_from([100, 1000, 10_000, 20_000, 60_000]),
    holes=st.booleans(),
    disorder_ms=st.sampled_from([0, 5000, 10 * MINUTE]),
    ahead_ms=st.sampled_from([0, 0, 20 * MINUTE, 55 * MINUTE, 65 * MINUTE, 2 * HOUR]),
    silences=st.tuples() | st.lists(st.integers(1, 400), max_size=6).map(tuple),
    ticks=st.booleans(),
    far=st.lists(st.just(0) | st.integers(0, 1000), max_size=3).map(tuple),
)


def shown(log: list[Seen]) -> list[int]:
    """Return what the clock shows with each event when all are read."""
    clock, watermarks = LogClock(LEAPS), []
    for seen in log:
        clock.advance(seen.time)
        watermarks.append(clock.watermark)
    return watermarks


def asked(log: list[Seen], seed: int) -> list[int]:
    dice = random.Random(seed)
    return [dice.choice(log).time + dice.choice((0, 1, 5 * MINUTE, -HOUR, 3 * HOUR)) for _ in range(6)]


def goes_on_as_the_log_s(log: list[Seen], watermarks: list[int], found: Arrival) -> bool:
    first = next(number for number, seen in enumerate(log) if seen.offset == found.set_at)
    return found.set_at <= found.offset and shown(log[first:]) == watermarks[first:]


@settings(max_examples=150)
@given(faulty)
def test_a_time_is_found_where_a_reading_of_the_whole_log_comes_to_it(faults: Faults) -> None:
    log = disturbed(faults)
    watermarks, search = shown(log), Reader(log).search()
    for time in asked(log, faults.seed):
        found = search.at_time(time)
        there = next((place for place, watermark in enumerate(watermarks) if watermark >= time), None)
        if there is None:
            assert found is None
        else:
            assert found is not None
            assert (found.offset, found.watermark) == (log[there].offset, watermarks[there])
            assert found.before <= [NO_WATERMARK, *watermarks][there]
            assert goes_on_as_the_log_s(log, watermarks, found)


@settings(max_examples=50)
@given(faulty)
def test_the_clock_at_an_offset_is_that_of_a_reading_of_the_whole_log(faults: Faults) -> None:
    log = disturbed(faults)
    watermarks, search = shown(log), Reader(log).search()
    for place in {0, len(log) // 3, len(log) - 1}:
        found = search.at_offset(log[place].offset)
        assert found is not None
        assert (found.offset, found.watermark) == (log[place].offset, watermarks[place])
        assert goes_on_as_the_log_s(log, watermarks, found)


@pytest.mark.parametrize("size", [9, 2000])
def test_ahead_of_a_silence_the_clock_shows_when_it_began(size: int) -> None:
    log = [Seen(number, START + 1000 * number) for number in range(size)]
    log += [Seen(size + number, START + 3 * 24 * HOUR + 1000 * number) for number in range(300)]
    found = Reader(log).search().at_time(START + 24 * HOUR)
    assert found and found.offset == size + LEAPS.leap_records - 1
    assert found.before == log[size - 1].time


USUAL = Faults(7, 90_000, 4000, True, 10 * MINUTE, 0, (90, 300), False, (100, 500, 501, 900))  # four days and more


@pytest.mark.parametrize("ahead_ms", [0, 55 * MINUTE, 2 * HOUR])
@pytest.mark.parametrize("hour", [30, 60, 95])
def test_a_few_hours_of_a_log_of_days_are_read_to_find_a_time(ahead_ms: int, hour: int) -> None:
    log = disturbed(replace(USUAL, ahead_ms=ahead_ms))
    reader, time = Reader(log), START + hour * HOUR
    found = reader.search().at_time(time)
    there = next(place for place, watermark in enumerate(shown(log)) if watermark >= time)
    assert found and found.offset == log[there].offset
    assert reader.read < 4 * HOUR // USUAL.step_ms + 20 * NEAR


@pytest.mark.parametrize("first_ms", [0, 2 * HOUR, YEARS])
def test_in_what_is_left_of_a_log_a_time_is_found_where_a_reading_of_the_whole_log_found_it(first_ms: int) -> None:
    log = disturbed(replace(USUAL, size=9000, far=(), silences=()))
    watermarks, gone = shown(log), 3000
    left = log[gone:]
    left[0] = Seen(left[0].offset, left[0].time + first_ms)
    for place in (5000, 7000, 8999):
        found = Reader(left).search().at_time(watermarks[place])
        there = bisect_left(watermarks, watermarks[place])
        assert found and (found.offset, found.watermark) == (log[there].offset, watermarks[there])
    everything = Reader(left).search().at_time(START)
    assert everything and everything.offset <= left[1].offset
