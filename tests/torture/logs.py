"""The log of a round: seeded, four hours long, with everything that a joiner meets and what is no event at all."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from contracts import events
from contracts.errors import EventRejected
from contracts.events import Click, Context, Event, Rejected, Request, Shown, Tick
from contracts.partitions import partition_of

START = 1_507_003_200_000  # a whole hour, so that the end of the log is one
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
TICK_MS, CLOSING_TICK_MS = 2 * MINUTE, 5 * MINUTE
USERS, ITEMS = 40, 60
RUBBISH = (b"", b"no json", b"{}", b'{"kind":"view"}', b'{"kind":"click","user_id":1}', b"\xff" * 40, b"[" * 500)


class Planned(NamedTuple):
    """A record that is going to be produced; `time` is how far the log has come, in ms."""

    partition: int
    key: bytes | None
    value: bytes
    time: int


def planned_log(dice: random.Random, partitions: int, size: int) -> list[Planned]:
    """Return about `size` events and rubbish over four hours, ticks for every partition, and ticks that close it."""
    log: list[Planned] = []
    tick = now = START
    for event in _Events(dice, 4 * HOUR // size).take(size):
        if isinstance(event, bytes):
            log.append(Planned(dice.randrange(partitions), None, event, now))
            continue
        now = max(now, event.ingest_time)
        while tick <= now:
            log += ticks(tick, partitions)
            tick += TICK_MS
        log.append(_placed(dice, event, partitions, now))
    return [*log, *closing(now, partitions)]


def ticks(time: int, partitions: int) -> list[Planned]:
    """Return a tick for every partition."""
    return [Planned(partition, None, events.encode(Tick(time)), time) for partition in range(partitions)]


def closing(now: int, partitions: int) -> list[Planned]:
    """Return ticks from `now` to a whole hour, far enough on that every click that waits has left."""
    end = (now + 30 * MINUTE) // HOUR * HOUR + HOUR
    times = range(now // CLOSING_TICK_MS * CLOSING_TICK_MS + CLOSING_TICK_MS, end + 1, CLOSING_TICK_MS)
    return [record for time in times for record in ticks(time, partitions)]


def _placed(dice: random.Random, event: Request | Click, partitions: int, now: int) -> Planned:
    partition = partition_of(event.user_id, partitions)
    if dice.random() < 0.005:  # one that stands in a foreign partition
        partition = (partition + 1) % partitions
    return Planned(partition, event.user_id.encode(), events.encode(event), now)


class _Events:
    """Requests and clicks: direct, joined, late, orphaned, parked, doubled; and rubbish between them."""

    def __init__(self, dice: random.Random, step_ms: int) -> None:
        self._dice, self._step_ms, self._numbers = dice, step_ms, count()
        self._now = START
        self._asked = [("r-lost", "u0")]
        self._clicks: list[Click] = []
        self._coming: list[tuple[int, int, Request]] = []  # requests that arrive after their click

    def take(self, size: int) -> Iterator[Request | Click | bytes]:
        """Yield that many, in the order of their ingest times."""
        for _ in range(size):
            self._now += self._dice.randrange(2 * self._step_ms)
            while self._coming and self._coming[0][0] <= self._now:
                yield heapq.heappop(self._coming)[2]
            yield self._next()

    def _next(self) -> Request | Click | bytes:
        kind = self._dice.random()
        if kind < 0.03:
            return self._dice.choice(RUBBISH)
        if kind < 0.38:
            return self._request()
        if kind < 0.46 and self._clicks:
            return self._repeated(self._dice.choice(self._clicks[-200:]))
        return self._click(kind)

    def _request(self) -> Request:
        user = self._user()
        name, owner = (
            self._dice.choice(self._asked) if self._dice.random() < 0.05 else (f"r{next(self._numbers)}", user)
        )
        self._asked.append((name, owner))
        return self._shown(name, owner, self._now)

    def _click(self, kind: float) -> Click:
        user, request = self._user(), ""
        if kind < 0.75:  # of the last few requests: joined in time; of all: mostly late, or forgotten
            request, user = self._dice.choice(self._asked[-30:] if kind < 0.68 else self._asked)
        elif kind < 0.80:
            request = f"r-never-{next(self._numbers)}"
        elif kind < 0.85:
            request, later = f"r-later-{next(self._numbers)}", self._now + self._dice.randrange(2 * MINUTE)
            heapq.heappush(self._coming, (later, next(self._numbers), self._shown(request, user, later)))
        event_id = f"e{next(self._numbers)}" if self._dice.random() < 0.9 else ""
        context = Context({"os": str(self._dice.randrange(3))})
        happened = self._now - self._dice.randrange(20 * SECOND)
        click = Click(user, self._item(), happened, self._now, event_id, request, context)
        if event_id:
            self._clicks.append(click)
        return click

    def _repeated(self, click: Click) -> Click:
        return Click(click.user_id, click.item_id, self._now, self._now, click.event_id, click.request_id)

    def _shown(self, name: str, user: str, now: int) -> Request:
        items = [f"i{number}" for number in self._dice.sample(range(ITEMS), 6)]
        rejected = tuple(Rejected(item, "rank") for item in items[3:])
        context = Context({"os": str(self._dice.randrange(3))}, {"age": float(self._dice.randrange(80))})
        shown = tuple(Shown(item, position) for position, item in enumerate(items[:4]))
        return Request(name, user, now, now, context, shown, rejected, "online", self._dice.randrange(9))

    def _user(self) -> str:
        return f"u{self._dice.randrange(USERS)}"

    def _item(self) -> str:
        return f"i{self._dice.randrange(ITEMS)}"


def decoded(record: Planned) -> Event | None:
    """Return the event of a planned record, None for rubbish."""
    try:
        return events.decode(record.value)
    except EventRejected:
        return None
