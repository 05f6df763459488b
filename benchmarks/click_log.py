"""The log that benchmarks read: clicks alone, seeded, each with an event id, so that the joiner remembers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contracts.arrays import Doubles
from contracts.events import Click, Context, Event, Tick
from streams.log import TICK_MS, LogRecord, partitioned

START_MS = 1_507_000_020_000  # a whole minute
WARM_UP = 64
_CONTEXTS = tuple(
    Context({"device": device, "country": country}) for device in ("phone", "desktop") for country in ("BR", "PT", "US")
)


@dataclass(frozen=True)
class ClickLog:
    """`clicks` clicks, evenly over `span_ms` of ingest time; items by a power law, users evenly.

    `WARM_UP` clicks go before them, spread over all topic-partitions; ticks go on for `closing_ms` after the last one.
    """

    clicks: int
    span_ms: int
    closing_ms: int = 2 * TICK_MS
    users: int = 20_000
    items: int = 4096
    seed: int = 1

    def events(self) -> Iterator[Event]:
        """Yield the warm-up clicks, a tick a minute later, then the clicks.

        That tick completes the first shard of every topic-partition, so that each run makes its first commit, with all
        that a process has to import and open for it, before it reads the first click that is measured.
        """
        for number in range(WARM_UP):
            yield Click(f"u{number:07d}", "i000000", START_MS, START_MS, f"w{number:09d}", context=_CONTEXTS[0])
        yield Tick(START_MS + TICK_MS)
        dice = np.random.default_rng(self.seed)
        users = dice.integers(self.users, size=self.clicks).tolist()
        items = dice.choice(self.items, size=self.clicks, p=self.shares()).tolist()
        for number, (user, item) in enumerate(zip(users, items, strict=True)):
            time = START_MS + TICK_MS + number * self.span_ms // self.clicks
            context = _CONTEXTS[number % len(_CONTEXTS)]
            yield Click(f"u{user:07d}", f"i{item:06d}", time, time, f"e{number:09d}", context=context)

    def records(self, partitions: int) -> Iterator[LogRecord]:
        """Yield the records of a topic; the ticks at the end complete every shard."""
        return partitioned(self.events(), partitions, closing_ms=self.closing_ms)

    def end_ms(self) -> int:
        """Return a watermark that is reached when all clicks are in committed shards."""
        return START_MS + 2 * TICK_MS + self.span_ms

    def shares(self) -> Doubles:
        """Return how often each item is clicked, float64 [items], as shares of one: Zipf's law."""
        weights = 1.0 / np.arange(1, self.items + 1)
        return np.asarray(weights / weights.sum(), dtype=np.float64)
