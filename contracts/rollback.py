"""Rollback: a new served manifest that names an older content, and holds the deltas after it.

It is made of the served chain alone, so whoever may write that chain may roll back: the publisher by itself, a person
at the command line or at the dashboard, also while no publisher runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from contracts import served
from contracts.bases import BaseStore
from contracts.chain import Entry
from contracts.errors import ChainTaken, NothingServed, Overtaken, UsageError, WrongParent
from contracts.layout import Layout
from contracts.served import Hold, Served, ServedChain


@dataclass(frozen=True)
class Plan:
    """What a rollback would do on top of `head`: show the content of `target` again, and hold what `holds` names."""

    head: Entry[Served]
    target: Entry[Served]
    holds: tuple[Hold, ...]


def plan(layout: Layout, to: int) -> Plan:
    """Return what a rollback to version `to` would do now; nothing is written.

    Raises `NothingServed`, `UsageError` for a version that cannot be meant, `MissingInput` or `WrongParent` where its
    base is gone, `Corrupt` or `ChainBroken` for a manifest that cannot be read.
    """
    chain = served.chain(layout)
    head = chain.head()
    if head is None:
        raise NothingServed("nothing is served yet", hint="Publish first: `freshet publish once`.")
    if not 1 <= to <= head.number:
        raise UsageError(f"there is no version {to}", hint=f"Versions 1 to {head.number}: `freshet publish history`.")
    target = chain.read(to)
    if target.body.content_of == head.body.content_of:
        raise UsageError(f"version {to} is what is served", hint="Older ones: `freshet publish history`.")
    _base_of(layout, target.body, to)
    return Plan(head, target, _holds(chain, to, target.body))


def rollback(layout: Layout, to: int, who: str, why: str, seen: int | None = None) -> Entry[Served]:
    """Serve the content of version `to` again; readers answer exactly as that version did (law 9).

    What was served on its base after it is held: the next publish goes on from the content of `to` with the deltas
    that come later, without the held ones. `seen`: the version that was served when a person decided; another one is
    served now, and nothing is done. Raises what `plan` raises, and `Overtaken`.
    """
    while True:
        planned = plan(layout, to)
        head, target = planned.head, planned.target
        if seen is not None and head.number != seen:
            raise Overtaken(
                f"version {head.number} is served by now, no longer version {seen}",
                hint="Look at it, and decide again.",
            )
        now = int(time.time() * 1000)
        body = msgspec.structs.replace(
            target.body, action="rollback", holds=planned.holds, who=who, why=why, created_at=now
        )
        chain = served.chain(layout)
        entry = chain.prepare(head, body, {}, target.files)
        try:
            chain.create(entry)
        except ChainTaken:
            continue
        _base_of(
            layout, target.body, to
        )  # retired in this very moment: readers keep the former version, and this says so
        return entry


def _base_of(layout: Layout, target: Served, to: int) -> None:
    if BaseStore(layout).open(target.base_id).digest != target.base_digest:
        raise WrongParent(f"base {target.base_id} on disk is not the one that version {to} served")


def _holds(chain: ServedChain, to: int, target: Served) -> tuple[Hold, ...]:
    """Return the holds of `target`, and of each partition the deltas that were served on its base since."""
    since = [target, *(e.body for e in chain.entries(after=to) if e.body.base_digest == target.base_digest)]
    added = []
    for position in target.positions:
        last = max(served.reached(version, position.partition) for version in since)
        if last > position.delta:
            added.append(Hold(position.partition, position.delta + 1, last))
    return (*(hold for hold in target.holds if not _within(hold, added)), *added)


def _within(hold: Hold, others: Iterable[Hold]) -> bool:
    return any(o.partition == hold.partition and o.first <= hold.first and hold.last <= o.last for o in others)
