"""A day: a range of sample ordinals per partition, cut where the watermark crosses midnight in a time zone."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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
    """Return the first millisecond (UTC) of `day` (YYYY-MM-DD) in a time zone, and of the day after."""
    try:
        date = dt.date.fromisoformat(day)
    except ValueError:
        raise UsageError(f"{day!r} is not a day", hint="Write it as YYYY-MM-DD.") from None
    midnights = (dt.datetime.combine(date + dt.timedelta(days=n), dt.time(), zone(zone_name)) for n in (0, 1))
    start, end = (int(midnight.timestamp() * 1000) for midnight in midnights)
    return start, end


def day_of(milliseconds: int, zone_name: str) -> str:
    """Return the day (YYYY-MM-DD) that a time in ms falls on in a time zone."""
    return clock(milliseconds, zone_name).date().isoformat()


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
    ordinal = 0
    for entry in shards.entries():
        if entry.body.watermark >= watermark:
            emitted = (s.ordinal for s in read_samples(shards, entry) if s.watermark >= watermark)
            return next(emitted, entry.body.next_ordinal)
        ordinal = entry.body.next_ordinal
    return ordinal
