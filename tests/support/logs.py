"""Small logs of one partition for tests: seeded, in order of ingest time, with everything that a joiner meets."""

from __future__ import annotations

import random
from collections.abc import Iterable

from contracts import events
from contracts.events import Click, Context, Event, Rejected, Request, Shown, Tick
from streams.records import Record, Topic

START = 1_507_000_000_000
MINUTE = 60_000
ONE_PARTITION = Topic("events", "test-topic-id", 1)


def records(log: Iterable[Event | bytes], first: int = 0) -> list[Record]:
    """Return the records of a log: events get encoded, bytes stand as they are."""
    values = (entry if isinstance(entry, bytes) else events.encode(entry) for entry in log)
    return [Record(offset, value) for offset, value in enumerate(values, start=first)]


def mixed_log(seed: int, size: int = 300, step_ms: int = 20_000) -> list[Event | bytes]:
    """Return requests and clicks: direct, joined, early, late, orphaned, doubled; ticks and garbage between."""
    dice = random.Random(seed)
    log: list[Event | bytes] = []
    now, asked, clicked = START, [("r-lost", "u0")], [("e-none", "u0")]
    for number in range(size):
        now += dice.randrange(step_ms) + (dice.random() < 0.01) * 3_600_000
        user, item, kind = f"u{dice.randrange(8)}", f"i{dice.randrange(30)}", dice.random()
        if kind < 0.05:
            log.append(dice.choice((b"", b"garbage", b"{}", b'{"kind":"click"}')))
        elif kind < 0.15:
            log.append(Tick(now))
        elif kind < 0.45:
            again, owner = dice.choice(asked) if kind < 0.2 else (f"r{number}", user)
            asked.append((again, owner))
            log.append(_request(dice, again, owner, now))
        elif kind < 0.55:
            (event, owner), (request, _) = dice.choice(clicked), dice.choice(asked)
            log.append(Click(owner, item, now, now, event_id=event, request_id=request))
        else:
            request, owner = dice.choice(asked) if kind < 0.9 else (f"r{number + dice.randrange(9)}", user)
            clicked.append((f"e{number}", owner))
            request = "" if kind < 0.65 else request
            log.append(Click(owner, item, now - dice.randrange(5000), now, f"e{number}", request, Context({"os": "2"})))
    return [*log, Tick(now + 10 * MINUTE)]


def _request(dice: random.Random, request_id: str, user: str, now: int) -> Request:
    items = [f"i{number}" for number in dice.sample(range(30), 9)]
    shown = tuple(Shown(item, position) for position, item in enumerate(items[:5]))
    rejected = tuple(Rejected(item, dice.choice(("pre_rank", "rank"))) for item in items[4:])  # one stands in both
    context = Context({"os": str(dice.randrange(3))}, {"age": float(dice.randrange(80))})
    return Request(request_id, user, now, now, context, shown, rejected, "online", 7)
