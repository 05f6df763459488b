"""What is served, how fresh it is, and from which log positions: `freshet status`."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from contracts import deltas, nights, rebases, served, shards
from contracts.bases import BaseStore
from contracts.chain import Entry
from contracts.drift import Drift
from contracts.errors import FreshetError, NothingServed
from contracts.layout import Layout
from contracts.nights import Night
from contracts.rebases import Rebase
from contracts.served import Gate, Hold, Position, Refused
from contracts.shards import Shard, ShardChain

UNKNOWN = -1


class PartitionStatus(msgspec.Struct, frozen=True):
    """One partition: the delta served, the samples and records before the position, and how far the shards are ahead.

    `next_offset`: every record of the topic-partition before it was read for what is served (-1: no shard says).
    `behind_ms`: watermark of the newest committed shard minus the served one (-1: there is no shard).
    """

    partition: int
    delta: int
    next_ordinal: int
    watermark: int
    next_offset: int
    behind_ms: int


class Status(msgspec.Struct, frozen=True):
    """What is served. Times are event times in ms, but `created_at`, which is processing time.

    `overruled`: gates that did not pass and were forced. `refused`: the newest version that was refused since.
    `next_base`: where the newest base after the served one stands. `refused_night`: the last night, if it was refused.
    `drift`: the records of the newest deltas served, of those partitions that have one that can be read.
    """

    version: int
    action: str
    content_of: int
    base_id: str
    topic: str
    collections: tuple[str, ...]
    trend_time: int
    last_event_time: int
    behind_ms: int
    partitions: tuple[PartitionStatus, ...]
    held: tuple[Hold, ...]
    overruled: tuple[Gate, ...]
    refused: Refused | None
    next_base: Rebase | None
    refused_night: Night | None
    drift: tuple[Drift, ...]
    who: str
    why: str
    created_at: int


def read_status(layout: Layout) -> Status:
    """Return what is served. Raises `NothingServed`."""
    head = served.head(layout)
    if head is None:
        raise NothingServed(f"nothing is served yet under {layout.root}", hint="Publish first: `freshet publish once`.")
    body = head.body
    base = BaseStore(layout).open(body.base_id)
    topic = base.manifest.topic
    partitions = tuple(_partition(layout, topic, position) for position in body.positions)
    return Status(
        version=head.number,
        action=body.action,
        content_of=body.content_of,
        base_id=body.base_id,
        topic=topic,
        collections=body.collections,
        trend_time=body.trend_time,
        last_event_time=body.last_event_time,
        behind_ms=max((partition.behind_ms for partition in partitions), default=UNKNOWN),
        partitions=partitions,
        held=body.holds,
        overruled=tuple(gate for gate in body.gates if not gate.passed),
        refused=served.refused_since(layout, head.number),
        next_base=rebases.after(layout, base),
        refused_night=nights.refused(layout, topic),
        drift=tuple(found for position in body.positions if (found := _drift(layout, body.base_id, position))),
        who=body.who,
        why=body.why,
        created_at=body.created_at,
    )


def _drift(layout: Layout, base_id: str, position: Position) -> Drift | None:
    chain = deltas.chain(layout, base_id, position.partition)
    with suppress(FreshetError):
        return deltas.drift_of(chain, chain.read(position.delta)) if position.delta else None
    return None


def _partition(layout: Layout, topic: str, position: Position) -> PartitionStatus:
    chain = shards.chain(layout, topic, position.partition)
    head = chain.head()
    covered = _last_covered(chain, head, position.next_ordinal) if head else None
    return PartitionStatus(
        partition=position.partition,
        delta=position.delta,
        next_ordinal=position.next_ordinal,
        watermark=position.watermark,
        next_offset=covered.next_offset if covered else UNKNOWN,
        behind_ms=max(0, head.body.watermark - position.watermark) if head else UNKNOWN,
    )


def _last_covered(chain: ShardChain, head: Entry[Shard], next_ordinal: int) -> Shard | None:
    """Return the last shard all of whose samples lie before `next_ordinal`: bisects, for ordinals only grow."""
    low, high = 0, head.number + 1
    while high - low > 1:
        middle = (low + high) // 2
        if chain.read(middle).body.next_ordinal <= next_ordinal:
            low = middle
        else:
            high = middle
    return chain.read(low).body if low else None
