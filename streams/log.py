"""A historical log as the records of a topic: the one way for `freshet produce`, replay and the demo.

The same events give the same records in the same order, whoever asks. Ticks come from the data's own time:

1. Before an event with ingest time t, every partition has had a tick for every boundary (multiple of `tick_ms`) up to
   t; the first ticks of a log carry the boundary at or before its first event.
2. In a silence only half-hour boundaries get their ticks once it has lasted a day, and only midnights (UTC) once it has
   lasted 31 days: nothing waits then but the end of the silence.
3. After the last event the ticks go on for `closing_ms`, so that the windows that are open then are closed.

What only the decoder can judge (a `RawRecord`, an event whose ingest time no clock ever showed) is passed on and moves
no time.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contracts.errors import Disorder, UsageError
from contracts.events import EARLIEST, LATEST, Click, Event, Item, Tick, encode
from contracts.partitions import murmur2, partition_of

TICK_MS = 60_000
CLOSING_MS = 3_600_000
NO_TIME = 0

_HALF_HOUR, _DAY = 1_800_000, 86_400_000
_SHOWN_BYTES = 200


class RawRecord(NamedTuple):
    """A row or line that is no event: `value` travels in its place, so that the decoder rejects and counts it."""

    value: bytes


class LogRecord(NamedTuple):
    """A record of a topic; `ingest_time` (ms) is how far the log had come, `NO_TIME` before its first event."""

    partition: int
    key: bytes | None
    value: bytes
    ingest_time: int


def partitioned(
    events: Iterable[Event | RawRecord],
    partitions: int,
    tick_ms: int = TICK_MS,
    disorder_ms: int = 0,
    closing_ms: int = CLOSING_MS,
) -> Iterator[LogRecord]:
    """Yield the records of all partitions, keyed by user, with derived ticks; the order of `events` is kept.

    `disorder_ms`: how far ingest time may go back. `closing_ms` 0: more of this log follows, close nothing.
    A tick among the events moves the time and is otherwise replaced by the derived ones. Raises `Disorder`, and
    `UsageError` for a `tick_ms` that does not divide half an hour.
    """
    _check_tick(tick_ms)
    latest: Event | None = None
    now = next_tick = NO_TIME
    for event in events:
        if isinstance(event, RawRecord):
            yield record_of(event, partitions, now)
            continue
        time = event.ingest_time
        if time != now and EARLIEST <= time < LATEST:
            if latest is not None and time < now - disorder_ms:
                raise _disorder(latest, event)
            if time > now:
                if time >= next_tick:
                    yield from _ticks(boundaries(now, time, tick_ms), partitions)
                    next_tick = (time // tick_ms + 1) * tick_ms
                latest, now = event, time
        if type(event) is Click:
            user = event.user_id
            yield LogRecord(partition_of(user, partitions), user.encode(), encode(event), now)
        elif not isinstance(event, Tick):
            yield record_of(event, partitions, now)
    if latest is not None and closing_ms:
        yield from _ticks(boundaries(now, now + closing_ms + tick_ms - 1, tick_ms), partitions)


def boundaries(after: int, until: int, tick_ms: int) -> Iterator[int]:
    """Yield the tick times in (after, until], thinned out as the silence since `after` lasts.

    After `NO_TIME` it is the one boundary at or before `until`.
    """
    if after == NO_TIME:
        yield until // tick_ms * tick_ms
        return
    at = after
    while (at := _next_boundary(at, at - after, tick_ms)) <= until:
        yield at


def sort_command(files: str, key: str) -> str:
    """Return a shell command that sorts lines of JSON objects by a number in them; `files` quoted for the shell."""
    program = f"import json,sys; [print(l.rstrip()) for l in sorted(sys.stdin, key=lambda l: json.loads(l)[{key!r}])]"
    return f"zcat -f {files} | python3 -c {shlex.quote(program)} > sorted.jsonl"


def _check_tick(tick_ms: int) -> None:
    if tick_ms < 1 or _HALF_HOUR % tick_ms:
        raise UsageError(f"ticks every {tick_ms} ms do not divide half an hour", hint="Use 60000, for example.")


def _next_boundary(at: int, silence: int, tick_ms: int) -> int:
    step = tick_ms if silence < _DAY else _HALF_HOUR if silence < 31 * _DAY else _DAY
    return (at // step + 1) * step


def _ticks(times: Iterable[int], partitions: int) -> Iterator[LogRecord]:
    for time in times:
        value = encode(Tick(time))
        for partition in range(partitions):
            yield LogRecord(partition, None, value, time)


def record_of(event: Event | RawRecord, partitions: int, now: int) -> LogRecord:
    """Return the record of an event for a topic of so many partitions: keyed by user, an item by its own id."""
    if isinstance(event, RawRecord):
        return LogRecord((murmur2(event.value) & 0x7FFFFFFF) % partitions, None, event.value, now)
    key = event.item_id if isinstance(event, Item) else "" if isinstance(event, Tick) else event.user_id
    return LogRecord(partition_of(key, partitions), key.encode(), encode(event), now)


def _disorder(latest: Event, event: Event) -> Disorder:
    back = (latest.ingest_time - event.ingest_time) / 1000
    return Disorder(
        f"the log goes back in time by {back:.3f} s: {_shown(event)} comes after {_shown(latest)}",
        hint=f"Sort it by ingest_time: {sort_command('log.jsonl', 'ingest_time')}",
    )


def _shown(event: Event) -> str:
    text = encode(event).decode()
    return text if len(text) <= _SHOWN_BYTES else text[:_SHOWN_BYTES] + "…"
