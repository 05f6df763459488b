"""Boundary 6: the served manifest, one servable. The highest one is what is served.

A rollback is a new manifest that names an older content and holds the deltas after it, so that the next publish goes on
without them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from contracts.chain import Chain, Entry
from contracts.layout import Layout

SCHEMA, REFUSED_SCHEMA = "freshet.served/2", "freshet.refused/1"
OLDER = ("freshet.served/1",)  # without `catalogue`


class Position(msgspec.Struct, frozen=True):
    """How far one partition's chain of deltas is served: `delta` (0: the base alone) and its digest."""

    partition: int
    delta: int
    digest: str
    next_ordinal: int
    watermark: int


class Hold(msgspec.Struct, frozen=True):
    """Deltas first..last (both inclusive) of a partition, kept out of everything that is served on this base."""

    partition: int
    first: int
    last: int


class Gate(msgspec.Struct, frozen=True):
    """A check that may refuse a promotion, and what it found, in words. In what is served, one that did not pass was
    overruled by whom `who` names, for the reason in `why`."""

    name: str
    passed: bool
    detail: str


class Served(msgspec.Struct, frozen=True):
    """Body of a served manifest. `collections`: physical Milvus names, the base's first; never an alias.

    `trend_time` (ms): the time to which trend counts are decayed. `content_of`: the number whose content this is
    (its own, or for a rollback the older one). `created_at`: processing time, for people only. `catalogue`: digest of
    the item events that the data file `items.safetensors` comes of (`contracts.catalogue`); empty: there is none.
    """

    base_id: str
    base_digest: str
    user_tower_sha256: str
    item_tower_sha256: str
    collections: tuple[str, ...]
    positions: tuple[Position, ...]
    holds: tuple[Hold, ...]
    trend_time: int
    first_event_time: int
    last_event_time: int
    gates: tuple[Gate, ...]
    action: Literal["publish", "cut_over", "rollback"]
    content_of: int
    who: str
    why: str
    created_at: int
    catalogue: str = ""


class Refused(msgspec.Struct, frozen=True):
    """Body of a refusal: a version that would have been `number`, and the verdicts against it; it was never served."""

    number: int
    base_id: str
    base_digest: str
    positions: tuple[Position, ...]
    gates: tuple[Gate, ...]
    who: str
    why: str
    created_at: int


ServedChain = Chain[Served]
RefusedChain = Chain[Refused]


def chain(layout: Layout) -> ServedChain:
    """Return the chain of served manifests under `layout`."""
    return Chain(layout.served(), SCHEMA, Served, OLDER)


def refused(layout: Layout) -> RefusedChain:
    """Return the chain of refusals under `layout`; nobody reads it to serve."""
    return Chain(layout.refused(), REFUSED_SCHEMA, Refused)


def head(layout: Layout) -> Entry[Served] | None:
    """Return what is served now, None before the first publish."""
    return chain(layout).head()


def refused_since(layout: Layout, number: int) -> Refused | None:
    """Return the newest version that was refused and would have come after version `number`."""
    newest = refused(layout).head()
    return newest.body if newest and newest.body.number > number else None


def leads_to(before: Served, after: Served) -> bool:
    """Say whether `after` shows what `before` does and further deltas: not after a rollback or on another base."""
    if before.base_digest != after.base_digest:
        return False
    pairs = ((included(before, p.partition), included(after, p.partition)) for p in after.positions)
    return all(later[: len(earlier)] == earlier for earlier, later in pairs)


def included(served: Served, partition: int) -> list[int]:
    """Return the numbers of the deltas of `partition` that `served` shows, in order."""
    delta = next((position.delta for position in served.positions if position.partition == partition), 0)
    held = {n for hold in served.holds if hold.partition == partition for n in range(hold.first, hold.last + 1)}
    return [number for number in range(1, delta + 1) if number not in held]


def reached(served: Served, partition: int) -> int:
    """Return the number of the newest delta of `partition` that was served on this base by then, or is held on it."""
    delta = next((position.delta for position in served.positions if position.partition == partition), 0)
    return max([delta, *(hold.last for hold in served.holds if hold.partition == partition)])
