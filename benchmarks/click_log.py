"""The log that benchmarks read: clicks, alone or with requests, seeded, each with an event id for the joiner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from contracts.arrays import Doubles
from contracts.events import Click, Context, Event, Rejected, Request, Shown, Tick
from streams.log import TICK_MS, LogRecord, partitioned

START_MS = 1_507_000_020_000  # a whole minute
WARM_UP = 64
SHOWN, REJECTED = 20, 5  # items of a request
_DRAWN = 1 << 16
_NO_CONTEXT = Context()
_CONTEXTS = tuple(
    Context({"device": device, "country": country}) for device in ("phone", "desktop") for country in ("BR", "PT", "US")
)


@dataclass(frozen=True)
class ClickLog:
    """`clicks` clicks, evenly over `span_ms` of ingest time; items by a power law, users evenly.

    `requests` 0: clicks alone, with a context of their own. Else so many requests of different users come before each
    click, which names one of them and has its user; a request has a context, `SHOWN` items and `REJECTED` ones.
    `WARM_UP` clicks go before all, spread over all topic-partitions; ticks go on for `closing_ms` after the last one.
    """

    clicks: int
    span_ms: int
    requests: int = 0
    closing_ms: int = 2 * TICK_MS
    users: int = 20_000
    items: int = 4096
    seed: int = 1

    @property
    def count(self) -> int:
        """How many clicks and requests there are after the warm-up."""
        return self.clicks * (1 + self.requests)

    def events(self) -> Iterator[Event]:
        """Yield the warm-up clicks, a tick a minute later, then clicks and requests.

        That tick completes the first shard of every topic-partition, so that each run makes its first commit, with all
        that a process has to import and open for it, before it reads the first click that is measured.
        """
        for number in range(WARM_UP):
            yield Click(f"u{number:07d}", "i000000", START_MS, START_MS, f"w{number:09d}", context=_CONTEXTS[0])
        yield Tick(START_MS + TICK_MS)
        dice = np.random.default_rng(self.seed)
        for first in range(0, self.clicks, _DRAWN):
            count = min(_DRAWN, self.clicks - first)
            users = dice.integers(self.users, size=count).tolist()
            items = dice.choice(self.items, size=count, p=self.shares()).tolist()
            for number, (user, item) in enumerate(zip(users, items, strict=True), start=first):
                yield from self._visit(number, user, item) if self.requests else self._click(number, user, item)

    def records(self, partitions: int) -> Iterator[LogRecord]:
        """Yield the records of a topic; the ticks at the end complete every shard."""
        return partitioned(self.events(), partitions, closing_ms=self.closing_ms)

    def end_ms(self) -> int:
        """Return a watermark that is reached when all clicks are in committed shards."""
        return START_MS + 2 * TICK_MS + self.span_ms

    def shares(self) -> Doubles:
        """Return how often each item is clicked, float64 [items], as shares of one: Zipf's law."""
        return _zipf(self.items)

    def _click(self, number: int, user: int, item: int) -> Iterator[Event]:
        time, context = self._time(number), _CONTEXTS[number % len(_CONTEXTS)]
        yield Click(f"u{user:07d}", f"i{item:06d}", time, time, f"e{number:09d}", context=context)

    def _visit(self, number: int, user: int, item: int) -> Iterator[Event]:
        """Yield the requests of `user` and of those who follow, each of other items, and the click on one of them."""
        first, chosen = number * (1 + self.requests), number % self.requests
        for at in range(self.requests):
            asker, wanted = (user + at) % self.users, (item + at * SHOWN) % self.items
            shown, rejected = _candidates(self.items, wanted)
            time, context = self._time(first + at), _CONTEXTS[(number + at) % len(_CONTEXTS)]
            yield Request(f"r{first + at:010d}", f"u{asker:07d}", time, time, context, shown, rejected)
        clicker, clicked = (user + chosen) % self.users, (item + chosen * SHOWN) % self.items
        time, request = self._time(first + self.requests), f"r{first + chosen:010d}"
        yield Click(f"u{clicker:07d}", f"i{clicked:06d}", time, time, f"e{number:09d}", request, _NO_CONTEXT)

    def _time(self, number: int) -> int:
        return START_MS + TICK_MS + number * self.span_ms // self.count


@cache
def _zipf(items: int) -> Doubles:
    weights = 1.0 / np.arange(1, items + 1)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


@cache
def _candidates(items: int, wanted: int) -> tuple[tuple[Shown, ...], tuple[Rejected, ...]]:
    """Return what a request showed, the wanted item in its middle, and the items after those as rejected ones."""
    first = wanted - SHOWN // 2
    names = [f"i{(first + at) % items:06d}" for at in range(SHOWN + REJECTED)]
    shown = tuple(Shown(name, position) for position, name in enumerate(names[:SHOWN]))
    return shown, tuple(Rejected(name, "rank") for name in names[SHOWN:])
