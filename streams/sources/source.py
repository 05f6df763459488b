"""A source: a historical log that can be read from its start as often as one likes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from contracts.days import day_of
from contracts.errors import Disorder, MissingInput
from contracts.events import EARLIEST, LATEST, Click, Event, Item, Request, Tick
from streams.log import CLOSING_MS, NO_TIME, TICK_MS, LogRecord, RawRecord, partitioned

Events = Iterator[Event | RawRecord]

_KINDS = {Request: "request", Click: "click", Item: "item", Tick: "tick", RawRecord: "bad_row"}


@dataclass(frozen=True)
class Source:
    """A log and what is known about it without reading it.

    `name`: short, fit for topics and folders. `day_zone`: where its days begin. `total`: about how many events
    (for progress bars), None if unknown. `read` gives the same events in the same order each time.
    `sort_hint`: the sentence with the command that puts the log in order. `files`: what it is read from, none if it is
    made up. `part`: which part of the log it is, empty for all of it. `uneven`: why days of it are unlike those before
    them, where that is known; a retrain asks for a reason.
    """

    name: str
    day_zone: str
    read: Callable[[], Events]
    total: int | None = None
    sort_hint: str = ""
    disorder_ms: int = 0
    files: tuple[Path, ...] = ()
    part: str = ""
    uneven: str = ""

    def events(self) -> Events:
        """Yield the events from the start, bad rows as `RawRecord`. Raises `MissingInput` where a file is torn."""
        return self.read()

    def records(self, partitions: int, tick_ms: int = TICK_MS, closing_ms: int = CLOSING_MS) -> Iterator[LogRecord]:
        """Yield the log as `partitioned` does; `Disorder` comes with the command that sorts this very log."""
        try:
            yield from partitioned(self.read(), partitions, tick_ms, self.disorder_ms, closing_ms)
        except Disorder as error:
            raise Disorder(str(error), hint=self.sort_hint or error.hint) from None


class DayTeller:
    """Tells on which day (YYYY-MM-DD) of a zone a time falls, quickly for times that follow each other."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._quarter, self._day = -1, ""

    def of(self, time: int) -> str:
        """Return the day of a time in ms."""
        # A zone's offset is a multiple of a quarter of an hour: one look-up in so long is enough.
        if time // 900_000 != self._quarter:
            self._quarter, self._day = time // 900_000, day_of(time, self._zone)
        return self._day


def on_days(source: Source, days: frozenset[str]) -> Source:
    """Return the part of `source` that came in on the given days (YYYY-MM-DD in its day_zone); no days: all of it.

    A bad row belongs to the day of the event before it. Reading raises `MissingInput` if nothing is left.
    """
    if not days:
        return source
    part = ",".join([*filter(None, [source.part]), *sorted(days)])
    return replace(source, read=lambda: _on_days(source, days), total=None, part=part)


def limited(source: Source, count: int) -> Source:
    """Return the first `count` events of `source`."""
    total = None if source.total is None else min(count, source.total)
    part = f"{source.part}:{count}"
    return replace(source, read=lambda: islice(source.read(), count), total=total, part=part)


def counted(source: Source, counts: Counter[str]) -> Source:
    """Return `source` such that reading it adds to `counts`: request, click, item, tick, bad_row."""

    def read() -> Events:
        for event in source.read():
            counts[_KINDS[type(event)]] += 1
            yield event

    return replace(source, read=read)


def with_items(source: Source, items: dict[str, Item]) -> Source:
    """Return `source` such that reading it puts the newest event of each item into `items`."""

    def read() -> Events:
        for event in source.read():
            if isinstance(event, Item):
                items[event.item_id] = event
            yield event

    return replace(source, read=read)


def _on_days(source: Source, days: frozenset[str]) -> Events:
    seen: set[str] = set()
    teller, day = DayTeller(source.day_zone), ""
    for event in source.read():
        time = NO_TIME if isinstance(event, RawRecord) else event.ingest_time
        if EARLIEST <= time < LATEST and day != teller.of(time):
            day = teller.of(time)
            seen.add(day)
        if day in days:
            yield event
    if not seen & days:
        span = f"its days are {min(seen)} to {max(seen)}" if seen else "it holds no event"
        raise MissingInput(
            f"{source.name} holds nothing of {', '.join(sorted(days))}: {span}",
            hint=f"Days are counted in {source.day_zone}.",
        )
