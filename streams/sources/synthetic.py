"""A seeded synthetic log: requests with shown items and rejected candidates, and clicks, in order of ingest time.

Some clicks come long after their request, some are reported late, some twice, some without a request, and some name a
request that the log lost. The same settings give the same log with the same NumPy on the same kind of machine. The log
ends at the midnight (UTC) after its last day; what would have come in later is not part of it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from contracts.arrays import Floats, Integers
from contracts.days import bounds
from contracts.errors import UsageError
from contracts.events import Click, Context, Rejected, Request, Shown
from streams.sources.synthetic_world import DAY_MS, HOUR_MS, World

SLOT_MS = 300_000
SHOWN, REJECTED, CANDIDATES = 12, 6, 30
DEVICES = ("mobile", "desktop", "tablet")
REQUESTS_A_CLICK = 1.5

_NO_CHANCE = np.float32(1e-30)
_LOST_REQUEST, _SLOW_REQUEST = 0.003, 0.005
_WITHOUT_REQUEST, _LONG_AFTER, _REPORTED_LATE, _TWICE = 0.08, 0.04, 0.05, 0.015


@dataclass(frozen=True)
class SyntheticSettings:
    """What the log is made of. `mix`: 0 users follow their tastes only, 1 they follow the trends only."""

    seed: int = 1
    days: int = 4
    users: int = 1500
    items: int = 1200
    clicks_per_day: int = 20_000
    mix: float = 0.5
    first_day: str = "2025-01-06"

    def __post_init__(self) -> None:
        if min(self.days, self.users, self.clicks_per_day) < 1 or self.items < 100 or not 0 <= self.mix <= 1:
            raise UsageError(
                "a synthetic log has at least one day, user and click a day, 100 items, and a mix between 0 and 1",
                hint="See --days, --users, --items, --clicks-per-day and --mix.",
            )
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative", hint="Any whole number from 0 will do.")
        bounds(self.first_day, "UTC")

    @property
    def total(self) -> int:
        """About how many events the log has."""
        return int(self.days * self.clicks_per_day * (1 + REQUESTS_A_CLICK + _TWICE))


@dataclass(frozen=True)
class Visits:
    """The requests of one slot: `users` int64 [n]; `time` ms [n]; `ranked` int64 [n, CANDIDATES], best luck first.

    `chances`: float32 [n, items], how likely each user is to pick each item.
    """

    users: Integers
    time: Integers
    ranked: Integers
    chances: Floats


def synthetic_events(settings: SyntheticSettings) -> Iterator[Request | Click]:
    """Yield the log in order of ingest time."""
    start, _ = bounds(settings.first_day, "UTC")
    end = start + settings.days * DAY_MS
    pending: list[tuple[int, int, Request | Click]] = []
    made = 0
    for slot, (_, events) in enumerate(slots(settings), start=1):
        for event in events:
            heapq.heappush(pending, (event.ingest_time, made, event))
            made += 1
        while pending and pending[0][0] < min(start + slot * SLOT_MS, end):
            yield heapq.heappop(pending)[2]


def slots(settings: SyntheticSettings) -> Iterator[tuple[Visits, list[Request | Click]]]:
    """Yield for every five minutes who asked, with the truth that no log has, and the events of it, not in order."""
    rng = np.random.default_rng(settings.seed)
    world = World(rng, settings.users, settings.items, settings.days)
    writer = _Writer(rng, world, bounds(settings.first_day, "UTC")[0])
    for at in range(0, settings.days * DAY_MS, SLOT_MS):
        world.advance(SLOT_MS / HOUR_MS)
        visits = _visits(rng, world, settings, at)
        yield visits, writer.written(visits)


def _visits(rng: Generator, world: World, settings: SyntheticSettings, at: int) -> Visits:
    """Draw who asks in the slot from `at` (ms since the start) on, and 30 candidates for each.

    The candidates come from an exponential race (the first is a draw from the chances, the next a draw among the
    rest, and so on), so the first is what this user would click.
    """
    expected = settings.clicks_per_day * REQUESTS_A_CLICK * _rhythm(at) * SLOT_MS / DAY_MS
    count = int(rng.poisson(expected))
    weights = world.users.activity * (world.users.since <= at)
    # Each user at most once a slot, so that a click is known before the same user's next request.
    count = min(count, int(np.count_nonzero(weights)))
    users = rng.choice(len(weights), count, replace=False, p=weights / weights.sum())
    chances = world.preferences(users, at, settings.mix)
    # Who has clicked nearly everything that there is finds nothing more.
    enough = np.count_nonzero(chances, axis=1) >= CANDIDATES
    users, chances, count = users[enough], chances[enough], int(enough.sum())
    race = rng.standard_exponential(chances.shape, dtype=np.float32)
    race /= np.maximum(chances, _NO_CHANCE)
    first = np.argpartition(race, CANDIDATES, axis=1)[:, :CANDIDATES]
    order = np.argsort(np.take_along_axis(race, first, axis=1), axis=1)
    ranked = np.take_along_axis(first, order, axis=1)
    time = at + np.sort(rng.integers(0, SLOT_MS, count))
    return Visits(users, time, ranked, chances)


def _rhythm(at: int) -> float:
    """Return the traffic at a time of day against the day's mean: 1.8 at 20 h, 0.2 at 8 h."""
    return 1.0 + 0.8 * math.cos(2 * math.pi * (at % DAY_MS / HOUR_MS - 20) / 24)


class _Writer:
    """Turns visits into events; numbers requests and clicks through the log."""

    def __init__(self, rng: Generator, world: World, start: int) -> None:
        self._rng, self._world, self._start = rng, world, start
        self._requests = self._clicks = 0
        items = [f"i{item:05d}" for item in range(len(world.items.topics))]
        self._items = items
        self._shown = [[Shown(item, position) for position in range(SHOWN)] for item in items]
        self._rejected = [(Rejected(item, "rank"), Rejected(item, "pre_rank")) for item in items]

    def written(self, visits: Visits) -> list[Request | Click]:
        """Return the events of one slot, not in order."""
        rng, count = self._rng, len(visits.users)
        clicks = rng.random(count) < 1 / REQUESTS_A_CLICK
        places = np.minimum(rng.geometric(0.25, count) - 1, SHOWN - 1)
        fates = rng.random((count, 5))
        spans = rng.exponential(1.0, (count, 3))
        self._world.clicked[visits.users[clicks], visits.ranked[clicks, 0]] = True
        events: list[Request | Click] = []
        for row in range(count):
            request = self._request(visits, row, int(places[row]), fates[row, 0], spans[row, 0])
            if fates[row, 0] >= _LOST_REQUEST:
                events.append(request)
            if clicks[row]:
                events += self._click(request, int(visits.ranked[row, 0]), fates[row], spans[row])
        return events

    def _request(self, visits: Visits, row: int, place: int, fate: float, span: float) -> Request:
        user, time = int(visits.users[row]), self._start + int(visits.time[row])
        shown = [int(item) for item in visits.ranked[row, 1:SHOWN]]
        shown.insert(place, int(visits.ranked[row, 0]))
        # Ranking threw away those of the other candidates that this user likes least; the very least went first.
        others = visits.ranked[row, SHOWN:]
        rest = others[np.argsort(visits.chances[row, others], kind="stable")]
        rejected = [
            self._rejected[item][stage] for stage, item in zip((1, 1, 1, 0, 0, 0), rest[:REJECTED], strict=True)
        ]
        self._requests += 1
        slow = _LOST_REQUEST <= fate < _LOST_REQUEST + _SLOW_REQUEST
        return Request(
            request_id=f"r{self._requests:08d}",
            user_id=f"u{user:05d}",
            event_time=time,
            ingest_time=time + (int(span * 20_000) if slow else 0),
            context=self._context(user, time),
            shown=tuple(self._shown[item][position] for position, item in enumerate(shown)),
            rejected=tuple(rejected),
        )

    def _click(self, request: Request, item: int, fates: Floats, spans: Floats) -> list[Click]:
        _, without, after, reported, twice = (float(fate) for fate in fates)
        delay = 600_000 + spans[1] * 1_500_000 if after < _LONG_AFTER else 2_000 + spans[1] * 40_000
        time = request.event_time + int(delay)
        ingest = time + int(spans[2] * (180_000 if reported < _REPORTED_LATE else 150))
        self._clicks += 1
        known = without >= _WITHOUT_REQUEST
        click = Click(
            user_id=request.user_id,
            item_id=self._items[item],
            event_time=time,
            ingest_time=ingest,
            event_id=f"c{self._clicks:08d}",
            request_id=request.request_id if known else "",
            context=Context() if known else request.context,
        )
        if twice >= _TWICE:
            return [click]
        return [click, _again(click, ingest + 1_000 + int(spans[0] * 120_000))]

    def _context(self, user: int, time: int) -> Context:
        hour = (time - self._start) % DAY_MS / HOUR_MS
        device = DEVICES[0 if user % 10 < 6 else 1 if user % 10 < 9 else 2]
        return Context(
            {"device": device, "region": f"region{self._world.users.regions[user]}"},
            {
                "hour_sin": round(math.sin(2 * math.pi * hour / 24), 3),
                "hour_cos": round(math.cos(2 * math.pi * hour / 24), 3),
            },
        )


def _again(click: Click, ingest_time: int) -> Click:
    return Click(
        click.user_id,
        click.item_id,
        click.event_time,
        ingest_time,
        click.event_id,
        click.request_id,
        click.context,
    )
