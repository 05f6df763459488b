"""Synthetic logs whose last day changes at noon in a known way, and one in which nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from contracts.days import bounds
from contracts.events import Click, Context, Request
from streams.sources.source import Source
from streams.sources.synthetic import SyntheticSettings, synthetic_events
from streams.sources.synthetic_world import DAY_MS, HOUR_MS, NEVER, TOPICS, World

SETTINGS = SyntheticSettings(days=3, users=2000, clicks_per_day=30_000, mix=0.1)
NOON = 12
EVENT_SHARE, EVENT_ITEMS = 0.6, 15
Events = Iterator[Request | Click]
Change = Callable[[Events, int], Events]


def _world() -> World:
    return World(np.random.default_rng(SETTINGS.seed), SETTINGS.users, SETTINGS.items, SETTINGS.days)


def _visit(event: Request | Click) -> str:
    """Return what a request and its click have in common."""
    return event.request_id if isinstance(event, Request) or event.request_id else event.event_id


def quiet(events: Events, noon: int) -> Events:
    """Change nothing: tastes and trends of the synthetic log move every day."""
    yield from events


def tastes(events: Events, noon: int) -> Events:
    """From `noon` (ms) on let every user read about one topic alone; of what is clicked as much as before.

    A click goes to that one of `TOPICS` neighbours whose topic it is on, and so does its request.
    """
    topics = _world().items.topics
    about = {
        _visit(event): int(topics[int(event.item_id[1:])])
        for event in synthetic_events(SETTINGS)
        if isinstance(event, Click) and event.event_time >= noon
    }
    for event in events:
        topic = about.get(_visit(event))
        if topic is not None:
            neighbours = int(event.user_id[1:]) // TOPICS * TOPICS
            event = msgspec.structs.replace(event, user_id=f"u{neighbours + topic:05d}")
        yield event


def interest(events: Events, noon: int) -> Events:
    """From `noon` (ms) on let `EVENT_SHARE` of all clicks go to a few old items of one topic."""
    items = _world().items
    lasting = np.flatnonzero((items.born == -NEVER) & (items.topics == items.topics[0]))
    rng = np.random.default_rng(SETTINGS.seed)
    for event in events:
        if isinstance(event, Click) and event.event_time >= noon and rng.random() < EVENT_SHARE:
            item = int(rng.choice(lasting[:EVENT_ITEMS]))
            event = msgspec.structs.replace(event, item_id=f"i{item:05d}")
        yield event


def device(events: Events, noon: int) -> Events:
    """From `noon` (ms) on let three users in ten come with a device that the base has never seen."""
    for event in events:
        if event.event_time >= noon and int(event.user_id[1:]) % 10 < 3 and event.context.discrete:
            context = Context({**event.context.discrete, "device": "television"}, event.context.continuous)
            event = msgspec.structs.replace(event, context=context)
        yield event


CHANGES: dict[str, Change] = {"quiet": quiet, "tastes": tastes, "interest": interest, "device": device}


def changed(name: str) -> Source:
    """Return the log with one of `CHANGES` at noon of its last day."""
    start, _ = bounds(SETTINGS.first_day, "UTC")
    noon = start + (SETTINGS.days - 1) * DAY_MS + NOON * HOUR_MS
    return Source("drift", "UTC", lambda: CHANGES[name](synthetic_events(SETTINGS), noon), SETTINGS.total)
