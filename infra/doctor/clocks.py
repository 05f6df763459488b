"""Clocks: the newest times in committed shards beside the clock of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

from contracts import shards
from contracts.days import shown
from contracts.findings import Finding, fault, ok, unused, warning
from contracts.layout import Layout, names
from contracts.shards import Shard

SOON_MS, REFUSED_MS = 60_000, 3_600_000  # the publisher refuses clicks further ahead: [limits] most_ahead_seconds


def look(layout: Layout) -> Iterator[Finding]:
    """Yield for each topic how its newest times stand to now."""
    now = time.time_ns() // 1_000_000
    topics = names(layout.shards("any", 0).parent.parent)
    found = {topic: list(shards.readable_heads(layout, topic).values()) for topic in topics}
    if not any(found.values()):
        yield unused("shards", f"no shard to compare the clock of this machine with: {shown(now)} UTC")
    for topic, bodies in found.items():
        if bodies:
            yield compared(topic, bodies, now)


def compared(topic: str, bodies: list[Shard], now: int) -> Finding:
    """Return how the newest event and ingest times of a topic stand to `now` (ms)."""
    ingest, event = max(body.watermark for body in bodies), max(body.last_event_time for body in bodies)
    ahead = max(ingest, event) - now
    newest = f"newest event {shown(event)}" if event else "no event in the newest shard"
    said = f"newest ingest time {shown(ingest)}, {newest}, this machine {shown(now)} (UTC)"
    if ahead <= SOON_MS:
        return ok(topic, f"{said}: {_span(now - ingest)} behind now")
    whose = "the clock of this machine is behind, or that of whoever sends them is ahead"
    remedy = "Compare `date -u` here and on the machines that send events, and have both follow a time server."
    said = f"{said}: {_span(ahead)} AHEAD of now: {whose}"
    return fault(topic, said, remedy) if ahead > REFUSED_MS else warning(topic, said, remedy)


def _span(milliseconds: int) -> str:
    seconds = max(milliseconds, 0) / 1000
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"
