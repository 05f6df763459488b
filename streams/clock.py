"""The log's clock: the watermark of one partition, moved by ingest times alone, and by no single one that leaps.

A collector whose clock is hours ahead must not close the windows of everybody else. So an ingest time that lies more
than `leap_ms` beyond the watermark is a *leap*, and is believed only when `leap_records` records in a row leap: then
the log really has a silence there, and the watermark moves to the earliest time of that run. A record that does not
leap ends the run. With ticks every few seconds no healthy log ever leaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import msgspec

NO_WATERMARK = -1
NO_TIME = -1  # of a record that shows none
NEVER = 1 << 62  # a watermark that no log reaches


class Leaps(msgspec.Struct, frozen=True):
    """What is a leap (ms beyond the watermark), and how many in a row are believed."""

    leap_ms: int = 3_600_000
    leap_records: int = 64


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """All that the clock knows: the watermark (ms, -1: none yet), how many records leap in a row, their earliest time.

    A clock set to a reading goes on as the one that it was read from.
    """

    watermark: int = NO_WATERMARK
    leaping: int = 0
    leapt_to: int = 0


NOT_STARTED = Reading()


class Course:
    """What the clock showed before the first of some records and after each: `watermarks`, one more than records."""

    def __init__(self, watermarks: list[int], readings: Sequence[Reading] = ()) -> None:
        """Take what was shown; without `readings` no record leapt."""
        self.watermarks, self._readings = watermarks, readings

    def after(self, count: int) -> Reading:
        """Return the reading after so many of the records."""
        return self._readings[count] if self._readings else Reading(self.watermarks[count])


class LogClock:
    """The clock of one partition. `watermark` (ms) never goes back; before the first record it is -1."""

    def __init__(self, leaps: Leaps, reading: Reading = NOT_STARTED) -> None:
        self._leaps = leaps
        self.watermark = reading.watermark
        self._leaping, self._leapt_to = reading.leaping, reading.leapt_to

    def advance(self, ingest_time: int) -> None:
        """Take the ingest time of the next record. The first one of a log is believed whatever it is."""
        if ingest_time <= self.watermark + self._leaps.leap_ms or self.watermark == NO_WATERMARK:
            self._leaping = 0
            if ingest_time > self.watermark:
                self.watermark = ingest_time
        else:
            self._leap(ingest_time)

    def follow(self, ingest_times: Sequence[int]) -> Course:
        """Take the ingest times of the next records, at least one, `NO_TIME` for one that shows none."""
        watermark = self.watermark
        if not self._leaping and NO_WATERMARK < watermark >= max(ingest_times) - self._leaps.leap_ms:  # none can leap
            watermarks = [watermark, *ingest_times]
            if watermarks != sorted(watermarks):  # a log is mostly in order, and then this is quicker
                watermarks = list(accumulate(watermarks, max))
            self.watermark = watermarks[-1]
            return Course(watermarks)
        readings = [self.reading()]
        for time in ingest_times:
            if time != NO_TIME:
                self.advance(time)
            readings.append(self.reading())
        return Course([reading.watermark for reading in readings], readings)

    def reading(self) -> Reading:
        """Return what a clock has to be set to, to go on from here."""
        return Reading(self.watermark, self._leaping, self._leapt_to if self._leaping else 0)

    def _leap(self, ingest_time: int) -> None:
        self._leapt_to = min(ingest_time, self._leapt_to) if self._leaping else ingest_time
        self._leaping += 1
        if self._leaping >= self._leaps.leap_records:
            self.watermark, self._leaping = self._leapt_to, 0
