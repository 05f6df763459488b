"""What a full retrain reads: whole days of samples, cut where the watermark crosses midnight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contracts import days, shards
from contracts.arrays import Integers
from contracts.chain import Entry
from contracts.errors import ChainBroken, MissingInput
from contracts.events import Context
from contracts.layout import Layout
from contracts.sample_columns import Columns
from contracts.shards import Shard, ShardChain

CHUNK = 4096
WHAT_TO_DO = "Fill the shards first: `freshet streams worker` on a topic, or `freshet streams replay` on a log."


@dataclass(frozen=True)
class Topic:
    """The shards of all partitions of one topic."""

    name: str
    topic_id: str
    chains: tuple[ShardChain, ...]


@dataclass(frozen=True)
class Day:
    """A day's ordinals: samples [first[p], next[p]) of each partition p, maybe none. `end`: the first ms after it."""

    name: str
    first: tuple[int, ...]
    next: tuple[int, ...]
    end: int


@dataclass(frozen=True)
class DaySamples:
    """Consecutive samples of a day, of one partition: so a user's samples are in order.

    `click_times`: int64 [n], ms: when each click happened, at most when it was emitted. `rejected`: what ranking
    rejected in the click's own request.
    """

    name: str
    users: list[str]
    items: list[str]
    contexts: list[Context]
    click_times: Integers
    rejected: list[tuple[str, ...]]


def open_topic(layout: Layout, name: str) -> Topic:
    """Return the topic's chains. Raises `MissingInput` where a partition has no shards."""
    first = shards.chain(layout, name, 0).head()
    if first is None:
        raise MissingInput(f"topic {name!r} has no shards under {layout.root}", hint=WHAT_TO_DO)
    chains = tuple(shards.chain(layout, name, partition) for partition in range(first.body.partitions))
    for partition, chain in enumerate(chains):
        head = chain.head()
        if head is None:
            raise MissingInput(f"partition {partition} of topic {name!r} has no shards yet", hint=WHAT_TO_DO)
        if (head.body.topic_id, head.body.partitions) != (first.body.topic_id, len(chains)):
            raise ChainBroken(f"the partitions of topic {name!r} come from different logs")
    return Topic(name, first.body.topic_id, chains)


def find_day(topic: Topic, name: str, zone: str) -> Day:
    """Return the ordinals of a day. Raises `MissingInput` when it is not complete."""
    start, end = days.bounds(name, zone)
    for partition, chain in enumerate(topic.chains):
        head = chain.head()
        reached = head.body.watermark if head else -1
        if reached < end:
            where = days.shown(reached, zone) if reached >= 0 else "nowhere"
            raise MissingInput(
                f"day {name} ({zone}) is not complete: partition {partition} of topic {topic.name!r} has come to "
                f"{where}, and the day ends at {days.shown(end, zone)}",
                hint="Wait until the shards reach its end (ticks move an idle partition), or replay the log.",
            )
    first = tuple(days.first_ordinal_at(chain, start) for chain in topic.chains)
    after = tuple(days.first_ordinal_at(chain, end) for chain in topic.chains)
    return Day(name, first, after, end)


def with_samples(topic: Topic, among: Sequence[Day]) -> list[Day]:
    """Return the days on which samples were emitted. Raises `MissingInput` when there is none."""
    found = [day for day in among if day.first != day.next]
    if not found:
        names = ", ".join(day.name for day in among)
        raise MissingInput(f"day {names} of topic {topic.name!r} holds no samples", hint=WHAT_TO_DO)
    return found


def day_chunks(topic: Topic, day: Day, progress: Callable[[int, int], None]) -> Iterator[DaySamples]:
    """Yield the samples of a day, some thousand at a time, partition after partition, each in order.

    `progress` gets samples read and all.
    """
    total = sum(after - first for first, after in zip(day.first, day.next, strict=True))
    read = 0
    for chain, first, after in zip(topic.chains, day.first, day.next, strict=True):
        for entries in _groups(chain, first, after):
            begin = entries[0].body.first_ordinal
            found = _chunk(day.name, shards.read_together(chain, entries), slice(max(first - begin, 0), after - begin))
            read += len(found.users)
            yield found
            progress(read, total)


def _groups(chain: ShardChain, first: int, after: int) -> Iterator[list[Entry[Shard]]]:
    """Yield the shards that hold ordinals [first, after), some thousand samples at a time."""
    group: list[Entry[Shard]] = []
    for entry in shards.entries_from(chain, first):
        if entry.body.first_ordinal >= after:
            break
        if entry.body.next_ordinal > entry.body.first_ordinal:
            group.append(entry)
            if entry.body.next_ordinal - group[0].body.first_ordinal >= CHUNK:
                yield group
                group = []
    if group:
        yield group


def _chunk(name: str, found: Columns, within: slice) -> DaySamples:
    return DaySamples(
        name,
        found.user_id[within],
        found.item_id[within],
        found.context[within],
        np.minimum(np.array(found.event_time[within], np.int64), np.array(found.watermark[within], np.int64)),
        found.hard_negatives[within],
    )
