"""Rollback: a new served manifest that names an older content, and holds the deltas after it."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from contracts import served
from contracts.bases import BaseStore
from contracts.chain import Entry
from contracts.errors import ChainTaken, NothingServed, UsageError, WrongParent
from contracts.layout import Layout
from contracts.served import Hold, Served, ServedChain


def rollback(layout: Layout, to: int, who: str, why: str) -> Entry[Served]:
    """Serve the content of version `to` again; readers answer exactly as that version did (law 9).

    What was served on its base after it is held: the next publish goes on from the content of `to` with the deltas
    that come later, without the held ones. Raises `NothingServed`, `UsageError` for a version that cannot be meant,
    `MissingInput` or `WrongParent` where its base is gone.
    """
    while True:
        chain = served.chain(layout)
        head = chain.head()
        if head is None:
            raise NothingServed("nothing is served yet", hint="Publish first: `freshet publish once`.")
        target = _target(layout, chain, to, head)
        now = int(time.time() * 1000)
        body = msgspec.structs.replace(
            target, action="rollback", holds=_holds(chain, to, target), who=who, why=why, created_at=now
        )
        entry = chain.prepare(head, body, {}, chain.read(to).files)
        try:
            chain.create(entry)
        except ChainTaken:
            continue
        _base_of(layout, target, to)  # retired in this very moment: readers keep the former version, and this says so
        return entry


def _target(layout: Layout, chain: ServedChain, to: int, head: Entry[Served]) -> Served:
    if not 1 <= to <= head.number:
        raise UsageError(f"there is no version {to}", hint=f"Versions 1 to {head.number}: `freshet publish history`.")
    target = chain.read(to).body
    if target.content_of == head.body.content_of:
        raise UsageError(f"version {to} is what is served", hint="Older ones: `freshet publish history`.")
    _base_of(layout, target, to)
    return target


def _base_of(layout: Layout, target: Served, to: int) -> None:
    if BaseStore(layout).open(target.base_id).digest != target.base_digest:
        raise WrongParent(f"base {target.base_id} on disk is not the one that version {to} served")


def _holds(chain: ServedChain, to: int, target: Served) -> tuple[Hold, ...]:
    """Return the holds of `target`, and of each partition the deltas that were served on its base since."""
    since = [target, *(e.body for e in chain.entries(after=to) if e.body.base_digest == target.base_digest)]
    added = []
    for position in target.positions:
        last = max(_reached(since, position.partition))
        if last > position.delta:
            added.append(Hold(position.partition, position.delta + 1, last))
    return (*(hold for hold in target.holds if not _within(hold, added)), *added)


def _reached(versions: Iterable[Served], partition: int) -> Iterable[int]:
    for version in versions:
        yield from (position.delta for position in version.positions if position.partition == partition)
        yield from (hold.last for hold in version.holds if hold.partition == partition)


def _within(hold: Hold, others: Iterable[Hold]) -> bool:
    return any(o.partition == hold.partition and o.first <= hold.first and hold.last <= o.last for o in others)
