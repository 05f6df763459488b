"""What a log holds, day by day, and how its last day is cut into windows."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from contracts.days import bounds, day_of
from contracts.errors import MissingInput
from contracts.events import EARLIEST, LATEST, Click
from streams.log import LogRecord, RawRecord
from streams.sources.source import Source


@dataclass
class Calendar:
    """The days of a log in its zone, and how many clicks each has.

    `rows` counts everything that was read; `end` is the ingest time (ms) of the last event.
    """

    name: str
    zone: str
    end: int = 0
    clicks: Counter[str] = field(default_factory=Counter)
    rows: int = 0

    @property
    def days(self) -> list[str]:
        """All days with clicks, in order."""
        return sorted(self.clicks)

    @property
    def history(self) -> list[str]:
        """All days from the first to the one before the last, those without clicks too."""
        first, last = (dt.date.fromisoformat(day) for day in (self.days[0], self.days[-1]))
        return [(first + dt.timedelta(days=number)).isoformat() for number in range((last - first).days)]

    @property
    def last(self) -> str:
        """The day that is streamed."""
        return self.days[-1]


def read_calendar(source: Source, progress: Callable[[int], None]) -> Calendar:
    """Read the log once. Raises `MissingInput` when it has no two days of clicks."""
    calendar = Calendar(source.name, source.day_zone)
    start = end = 0
    for event in source.events():
        calendar.rows += 1
        if isinstance(event, RawRecord) or not EARLIEST <= event.ingest_time < LATEST:
            continue
        calendar.end = max(calendar.end, event.ingest_time)
        if not isinstance(event, Click):
            continue
        if not start <= event.ingest_time < end:
            start, end = bounds(day_of(event.ingest_time, source.day_zone), source.day_zone)
        calendar.clicks[day_of(start, source.day_zone)] += 1
        if calendar.rows % 5000 == 0:
            progress(calendar.rows)
    if len(calendar.days) < 2:
        raise MissingInput(
            f"{source.name} holds clicks of {len(calendar.days)} day(s)",
            hint="The walk needs two at least: it trains on the days before the last, and streams the last.",
        )
    return calendar


def windows(day: str, zone: str, width_ms: int) -> list[int]:
    """Return the ends (ms) of the windows of a day: multiples of `width_ms`, the last at the day's end or after."""
    start, end = bounds(day, zone)
    first = (start // width_ms + 1) * width_ms
    return list(range(first, end + width_ms, width_ms))


def grouped(records: Iterable[LogRecord], ends: list[int]) -> Iterator[tuple[int | None, Iterator[LogRecord]]]:
    """Split records at window ends, each exactly once, in order: (end, records), at last (None, what comes after).

    The ticks at an end belong to the window that they close. Consume each group before the next.
    """
    stream = iter(records)
    held: list[LogRecord] = []

    def until(end: int | None) -> Iterator[LogRecord]:
        if held and not _after(held[0], end):
            yield held.pop()
        for record in stream if not held else ():
            if _after(record, end):
                held.append(record)
                return
            yield record

    for end in [*ends, None]:
        yield end, until(end)


def _after(record: LogRecord, end: int | None) -> bool:
    if end is None:
        return False
    return record.ingest_time > end or (record.ingest_time == end and record.key is not None)
