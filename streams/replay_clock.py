"""Where a log's clock comes to a time, found without reading the log from its start.

The clock of a record hangs on all records before it, so it is known for sure only where two clocks meet: one that shows
no more than the log's (`low`), one that shows no less (`high`). Both are read forward from a place that bisection
finds, and a record that sets both to its time sets the log's too (a sandwich, as in coupling from the past: Propp and
Wilson 1996). Where they do not meet in time, the reading begins further back, at last at the start of the log.

- `low` needs no condition. Of 2 x `leap_records` events in a row at least one moved the clock, or two runs of leaps
  ended among them: so it shows no less than their earliest time. An event that does not leap from that ends every run
  of leaps, of whatever clock. There both clocks start.
- `high` has one: **the log's clock is no more than half of `leap_ms` past the latest of the next 128 events, without
  those that leap from the rest of them.** It is broken for long where a run of wrong clocks alone was believed. That a
  log begins so (its first event is believed, whatever it says) is seen, and it is read from its start. It is broken for
  less than `leap_ms` where a clock ahead by less than a leap falls silent: so both begin that much before a time.
- Until they meet no clock may believe a leap: such a reading is given up, and begun further back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, dropwhile, islice
from typing import NamedTuple

from streams.clock import NO_WATERMARK, Leaps, LogClock, Reading

NEAR = 128  # events that a place is judged by; over fewer offsets nothing is bisected


class Seen(NamedTuple):
    """An event in the log: its offset and ingest time (ms)."""

    offset: int
    time: int


class Arrival(NamedTuple):
    """The event at `offset` and what the log's clock shows with it (ms).

    `before`: no more than what it shows ahead of the event. `set_at`: the latest event up to it whose time the clock
    shows: a new clock that begins there goes on as the log's.
    """

    offset: int
    watermark: int
    before: int
    set_at: int


Events = Callable[
    [int, int], Iterator[Seen]
]  # those in [offset, end), in order; what was read before is not gone on with
There = Callable[[int, int], bool]  # whether an event's offset and a watermark are far enough


class ClockSearch:
    """The clock of the partition that holds `log`, [first, next): see the module for what is exact.

    A log that starts at offset 0 has the clock of a worker that read it from there. Of one that starts later nobody
    knows: near its start the clock begins with the first event that does not leap from the 128 first ones, and those
    before it belong to no range of time.
    """

    def __init__(self, leaps: Leaps, events: Events, log: tuple[int, int]) -> None:
        self._leaps, self._events = leaps, events
        self._start, self._end = log

    def at_time(self, time: int) -> Arrival | None:
        """Return the first event with which the clock shows `time` or more; None if there is none."""
        begin = self._start if self._astray else self._before(time)
        found = self._arrival(begin, lambda _, watermark: watermark >= time)
        return found if found and found.watermark >= time else None

    def at_offset(self, offset: int) -> Arrival | None:
        """Return the first event at or past `offset`, or the last one before it; None if the log holds no event."""
        begin = self._start if self._astray else offset - NEAR
        return self._arrival(begin, lambda at, _: at >= offset)

    @cached_property
    def _astray(self) -> bool:
        """Whether the log is read from its start: the first events set the clock to what the next ones contradict."""
        if self._start > 0:
            return False
        first = list(islice(self._events(self._start, self._end), 2 * NEAR))
        if len(first) < 2 * NEAR:
            return True  # it is read as quickly from its start
        clock = LogClock(self._leaps)
        for seen in first[:NEAR]:
            clock.advance(seen.time)
        early = sorted(seen.time for seen in first[NEAR : NEAR + NEAR // 4])
        return clock.watermark > early[len(early) // 4] + self._leaps.leap_ms

    def _before(self, time: int) -> int:
        """Return an offset with whose event the clock does not show `time` yet, as far as the next events tell."""
        low, high = self._start, self._end
        while high - low > NEAR:
            middle = (low + high) // 2
            near = list(islice(self._events(middle, high), NEAR))
            if near and _latest(near, self._leaps) + self._leaps.leap_ms < time:
                low = middle
            else:
                high = middle
        return low

    def _arrival(self, begin: int, there: There) -> Arrival | None:
        back = NEAR
        while begin > self._start:
            if found := self._between_two(begin, there):
                return found
            begin, back = begin - back, 2 * back
        return self._from_start(there)

    def _between_two(self, begin: int, there: There) -> Arrival | None:
        """Return where the log's clock gets `there`, or the last event; None unless two clocks from `begin` on tell."""
        events = self._events(begin, self._end)
        floor = min((seen.time for seen in islice(events, 2 * self._leaps.leap_records)), default=0)
        usual = dropwhile(lambda seen: seen.time > floor + self._leaps.leap_ms, events)
        near = list(islice(usual, NEAR))
        if not near:
            return None
        low = LogClock(self._leaps, Reading(floor))
        high = LogClock(self._leaps, Reading(_latest(near, self._leaps) + self._leaps.leap_ms // 2))
        rest = chain(near, usual)
        for seen in rest:
            before = low.watermark
            low.advance(seen.time)
            high.advance(seen.time)
            if low.watermark == high.watermark == seen.time:
                return _followed(low, before, chain([seen], rest), there)
            if there(seen.offset, high.watermark) or low.reading().leaping == self._leaps.leap_records - 1:
                return None
        return None

    def _from_start(self, there: There) -> Arrival | None:
        events = self._events(self._start, self._end)
        near = list(islice(events, NEAR))
        if self._start > 0 and near:
            latest = _latest(near, self._leaps)
            near = [*dropwhile(lambda seen: seen.time > latest, near)]
        return _followed(LogClock(self._leaps), NO_WATERMARK, chain(near, events), there)


def _followed(clock: LogClock, shown: int, events: Iterator[Seen], there: There) -> Arrival | None:
    """Return where `clock` gets `there`, or the last event. The first one sets it, or has set it to its time.

    `shown`: no more than what it showed ahead of the first one.
    """
    last, before, set_at = None, shown, 0
    for last in events:
        before = shown
        clock.advance(last.time)
        shown = clock.watermark
        if clock.watermark == last.time:
            set_at = last.offset
        if there(last.offset, clock.watermark):
            break
    return Arrival(last.offset, clock.watermark, before, set_at) if last else None


def _latest(near: Sequence[Seen], leaps: Leaps) -> int:
    """Return the latest time that is reached from the median without a leap."""
    times = sorted(seen.time for seen in near)
    latest = times[len(times) // 2]
    for time in times[len(times) // 2 :]:
        if time > latest + leaps.leap_ms:
            break
        latest = time
    return latest
