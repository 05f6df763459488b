"""What moves the log's clock, and what does not."""

from __future__ import annotations

from streams.clock import Leaps, LogClock

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
