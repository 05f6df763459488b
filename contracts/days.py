"""A day: a range of sample ordinals per partition, cut where the watermark crosses midnight in a time zone.

What can be asked of a day can be asked of a span as well, any other stretch of time, written `FROM/TO` as ISO 8601 has
it: a log that is told by position and not by days is cut into spans.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from contracts.arrays import Integers
from contracts.errors import UsageError
from contracts.shards import ShardChain, read_samples


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises `UsageError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"no time zone is called {name!r}", hint="Use an IANA name such as America/Sao_Paulo, or UTC."
        ) from None


def bounds(day: str, zone_name: str) -> tuple[int, int]:
    """Return the first millisecond (UTC) of `day` (YYYY-MM-DD) in a time zone, and of the day after.

    Of a span (`FROM/TO`): those of FROM and TO, in that zone where they name none. Raises `UsageError`.
    """
    if "/" in day:
        return _span_bounds(day, zone(zone_name))
    try:
        date = dt.date.fromisoformat(day)
    except ValueError:
        raise UsageError(f"{day!r} is not a day", hint="Write it as YYYY-MM-DD, or as FROM/TO.") from None
    midnights = (dt.datetime.combine(date + dt.timedelta(days=n), dt.time(), zone(zone_name)) for n in (0, 1))
    start, end = (int(midnight.timestamp() * 1000) for midnight in midnights)
    return start, end


def hours_of(times: Integers, zone_name: str) -> Integers:
    """Return the hour of the day, int64 [n] from 0 to 23, of times, int64 [n] ms, in a time zone.

    The zone's offset is that of the first one: within the hours after a clock is put forward they are one off.
    """
    if not len(times):
        return times
    offset = dt.datetime.fromtimestamp(int(times[0]) // 1000, zone(zone_name)).utcoffset() or dt.timedelta()
    return np.asarray((times // 1000 + int(offset.total_seconds())) // 3600 % 24, dtype=np.int64)


def day_of(milliseconds: int, zone_name: str) -> str:
    """Return the day (YYYY-MM-DD) that a time in ms falls on in a time zone."""
    return clock(milliseconds, zone_name).date().isoformat()


def span(start: int, end: int) -> str:
    """Return the name of the span [start, end), in ms; `bounds` gives both back."""
    return f"{_iso(start)}/{_iso(end)}"


def last_date(day: str, zone_name: str) -> str:
    """Return the date of a day or span's last moment (YYYY-MM-DD)."""
    return day_of(bounds(day, zone_name)[1] - 1, zone_name)


def in_words(day: str, zone_name: str = "UTC") -> str:
    """Return a day or span as people read it: `on 2025-01-06`, `from 2025-01-06 08:00:00 to 2025-01-06 09:30:00`."""
    if "/" not in day:
        return f"on {day}"
    start, end = bounds(day, zone_name)
    return f"from {shown(start, zone_name)} to {shown(end, zone_name)}"


def _iso(milliseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span_bounds(text: str, default: ZoneInfo) -> tuple[int, int]:
    try:
        moments = [dt.datetime.fromisoformat(each) for each in text.split("/")]
        start, end = (moment if moment.tzinfo else moment.replace(tzinfo=default) for moment in moments)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a span of time",
            hint="Write it as FROM/TO, like 2025-01-06T08:00Z/2025-01-06T20:00Z.",
        ) from None
    origin, unit = dt.datetime.fromtimestamp(0, dt.UTC), dt.timedelta(milliseconds=1)
    if end <= start:
        raise UsageError(f"the span {text!r} ends before it begins", hint="Write FROM/TO, the earlier moment first.")
    return (start - origin) // unit, (end - origin) // unit


def clock(milliseconds: int, zone_name: str = "UTC") -> dt.datetime:
    """Return a time in ms as a clock in a time zone shows it, to the second."""
    return dt.datetime.fromtimestamp(milliseconds // 1000, zone(zone_name)).replace(tzinfo=None)


def shown(milliseconds: int, zone_name: str = "UTC") -> str:
    """Return a time in ms as text; as a number where no calendar has it."""
    try:
        return str(clock(milliseconds, zone_name))
    except (OverflowError, ValueError, OSError):
        return f"{milliseconds} ms"


def first_ordinal_at(shards: ShardChain, watermark: int) -> int:
    """Return the ordinal of the first sample emitted at `watermark` (ms) or later: the cut of a day at its start.

    Where the chain has not come so far it is the next ordinal of its head: what is there so far belongs before.
    """
    number = shards.first_that_reached(watermark, lambda body: body.watermark)
    entry = next(shards.entries(number - 1), None)
    if entry:
        emitted = (s.ordinal for s in read_samples(shards, entry) if s.watermark >= watermark)
        return next(emitted, entry.body.next_ordinal)
    return shards.read(number - 1).body.next_ordinal if number > 1 else 0
