"""What moves the log's clock, and what does not."""

from __future__ import annotations

import random

from streams.clock import NO_TIME, Leaps, LogClock, Reading

HOUR = 3_600_000
START = 1_507_000_000_000
LEAPS = Leaps(leap_ms=HOUR, leap_records=3)


def shown(*times: int) -> list[int]:
    clock = LogClock(LEAPS)
    watermarks = []
    for time in times:
        clock.advance(START + time)
        watermarks.append(clock.watermark - START)
    return watermarks


def test_the_first_time_of_a_log_is_believed_and_the_watermark_never_goes_back() -> None:
    assert shown(5 * HOUR, 0, 5 * HOUR + 1) == [5 * HOUR, 5 * HOUR, 5 * HOUR + 1]


def test_a_producer_two_hours_ahead_among_others_moves_nothing() -> None:
    ahead_and_right = [time for step in range(50) for time in (step * 1000, 2 * HOUR + step * 1000)]
    assert shown(*ahead_and_right)[-1] == 49_000


def test_an_hour_is_no_leap() -> None:
    assert shown(0, HOUR, HOUR + 1) == [0, HOUR, HOUR + 1]


def test_a_silence_is_believed_once_enough_records_in_a_row_agree_at_their_earliest_time() -> None:
    assert shown(0, 9 * HOUR + 5, 9 * HOUR, 9 * HOUR + 7) == [0, 0, 0, 9 * HOUR]


def test_a_record_that_does_not_leap_ends_a_run_of_leaps() -> None:
    assert shown(0, 9 * HOUR, 9 * HOUR, 1, 9 * HOUR, 9 * HOUR, 9 * HOUR)[3:] == [1, 1, 1, 9 * HOUR]


def test_a_tick_of_another_century_moves_nothing() -> None:
    far = 4_070_908_799_999 - START
    assert shown(0, far, 1000, far, far, 2000) == [0, 0, 1000, 1000, 1000, 2000]


def test_a_clock_that_is_set_to_a_reading_goes_on_as_the_one_that_was_read() -> None:
    times = [0, 9 * HOUR, 10 * HOUR, 1, 9 * HOUR, 12 * HOUR, 11 * HOUR, 11 * HOUR + 5]
    for stop in range(len(times)):
        first, undisturbed = LogClock(LEAPS), LogClock(LEAPS)
        for time in times[:stop]:
            first.advance(START + time)
        second = LogClock(LEAPS, first.reading())
        for time in times[stop:]:
            second.advance(START + time)
        for time in times:
            undisturbed.advance(START + time)
        assert second.reading() == undisturbed.reading()


def one_by_one(clock: LogClock, times: list[int]) -> list[Reading]:
    """What the clock shows before the first record, and after each."""
    readings = [clock.reading()]
    for time in times:
        if time != NO_TIME:
            clock.advance(time)
        readings.append(clock.reading())
    return readings


def test_a_clock_that_follows_many_records_shows_what_it_shows_one_by_one() -> None:
    dice, leapt, quiet = random.Random(1), 0, 0
    for number in range(500):
        steps = [0, 1000, 1000, 60_000, -500] + [HOUR, HOUR + 1, 9 * HOUR] * (number % 2)
        times, now = list[int](), START
        for _ in range(30):
            step = dice.choice(steps)
            now += step if step < HOUR or dice.random() < 0.2 else 0
            times.append(NO_TIME if dice.random() < 0.1 else now + (step if step >= HOUR else 0))
        single, many, readings = LogClock(LEAPS), LogClock(LEAPS), list[Reading]()
        expected = one_by_one(single, times)
        cut = dice.randrange(1, len(times))
        for part in (times[:cut], times[cut:]):
            course = many.follow(part)
            readings += [course.after(count) for count in range(len(part) + 1)][bool(readings) :]
            assert course.watermarks == [course.after(count).watermark for count in range(len(part) + 1)]
        assert readings == expected
        assert many.reading() == single.reading()
        leapt += any(reading.leaping for reading in readings)
        quiet += not any(reading.leaping for reading in readings)
    assert min(leapt, quiet) > 50
