"""Boundary 8: the rebase record: how a new base came to be served, step by step, or why it did not. A chain per base.

The trainer writes it; the publisher cuts over to bases whose head says `ready`. A refused base stands on disk, and is
neither served, nor learned on, nor the parent of another, unless somebody names it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import msgspec

from contracts import nights
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Chain, Entry
from contracts.errors import FreshetError, MissingInput
from contracts.layout import Layout

SCHEMA = "freshet.rebase/1"
State = Literal["announced", "verified", "folding", "scored", "ready", "refused"]
OVER = ("ready", "refused")


class Rebase(msgspec.Struct, frozen=True):
    """Where the way of a base to being served stands; `created_at`: processing time (ms), for people only.

    `former`: the base that it is to follow (empty: none), with its digest. `since`, `until` (ms of watermark): the
    stretch of log that both were compared on, `clicks` the clicks of it, `hits` and `former_hits` what was found of
    them among the first `k` before it was learned; all 0 before `scored`.
    """

    base_id: str
    base_digest: str
    state: State
    former: str
    former_digest: str
    since: int
    until: int
    clicks: int
    hits: int
    former_hits: int
    k: int
    who: str
    why: str
    created_at: int


RebaseChain = Chain[Rebase]


def chain(layout: Layout, base_id: str) -> RebaseChain:
    """Return the chain of records of one base."""
    return Chain(layout.rebase(base_id), SCHEMA, Rebase)


def head(layout: Layout, base: OpenBase) -> Entry[Rebase] | None:
    """Return the newest record of a base; None where there is none, or where it speaks of another of that name."""
    entry = chain(layout, base.manifest.base_id).head()
    return entry if entry and entry.body.base_digest == base.digest else None


def state(layout: Layout, base: OpenBase) -> State | None:
    """Return where a base stands; None: nobody has announced it."""
    entry = head(layout, base)
    return entry.body.state if entry else None


def not_refused(layout: Layout, topic: str | None = None) -> list[OpenBase]:
    """Return the bases (of one topic) that nobody has refused, in the order in which they reach further.

    Of two that reach as far one that is ready comes later.
    """
    return [base for base, _ in _standing(layout, topic)]


def newest(layout: Layout, topic: str | None = None) -> OpenBase:
    """Return the base (of one topic) that reaches furthest of those that are ready or were never announced.

    Nor is it the one that a night has just made and not judged yet. Raises `MissingInput` when there is none.
    """
    standing = _standing(layout, topic)
    found = [b for b, where in standing if where == "ready" or (where is None and not _is_of_this_night(layout, b))]
    if not found:
        of_topic = f" of topic {topic!r}" if topic else ""
        others = ", ".join(sorted({base.manifest.topic for base in not_refused(layout)} - {topic}))
        raise MissingInput(
            f"no base{of_topic} under {layout.bases()}",
            hint="Train one: `freshet trainer retrain --day ...`; `freshet trainer rebase` says if one is under way."
            + (f" There are bases of other topics: {others}." if others else ""),
        )
    return found[-1]


def after(layout: Layout, now: OpenBase) -> Rebase | None:
    """Return where the base stands that reaches furthest beyond `now`; what cannot be read is left out."""
    found: list[tuple[int, Rebase]] = []
    store = BaseStore(layout)
    for base_id in store.ids():
        with suppress(FreshetError):
            base = store.open(base_id)
            record, cut = head(layout, base), base.manifest.cut_watermark
            if record and base.manifest.topic == now.manifest.topic and cut > now.manifest.cut_watermark:
                found.append((cut, record.body))
    return max(found, key=lambda each: each[0])[1] if found else None


def _standing(layout: Layout, topic: str | None) -> list[tuple[OpenBase, State | None]]:
    """Return what `not_refused` does, and where each stands; each record is read once."""
    store = BaseStore(layout)
    bases = [base for base in map(store.open, store.ids()) if topic in (None, base.manifest.topic)]
    found = [(base, where) for base in bases if (where := state(layout, base)) != "refused"]
    return sorted(
        found, key=lambda each: (each[0].manifest.cut_watermark, each[1] == "ready", each[0].manifest.base_id)
    )


def _reach(standing: tuple[OpenBase, State | None]) -> tuple[int, bool, str]:
    base, where = standing
    return base.manifest.cut_watermark, where == "ready", base.manifest.base_id


def _is_of_this_night(layout: Layout, base: OpenBase) -> bool:
    night = nights.chain(layout, base.manifest.topic).head()
    if night is None or night.body.step in nights.OVER:
        return False
    return (night.body.days, night.body.parent) == (base.manifest.days, base.manifest.parent)
