"""What differs between two served versions: which rows, and how far they moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from contracts import deltas, served, trend
from contracts.angles import angle
from contracts.arrays import Doubles, Floats
from contracts.bases import BaseStore, OpenBase
from contracts.errors import UsageError
from contracts.layout import Layout
from contracts.rows import Row
from contracts.served import Served

MOST_MOVED = 10


class Moved(msgspec.Struct, frozen=True):
    """How far something moved; `degrees`: how far it turned."""

    name: str
    distance: float
    degrees: float


class Clicked(msgspec.Struct, frozen=True):
    """An item's decayed clicks, each at the time of its version."""

    item_id: str
    before: float
    after: float


class Difference(msgspec.Struct, frozen=True):
    """From version `before` to version `after`. Of two bases rows are not compared: their towers differ.

    `deltas`: by partition, how many each version shows. `distances`: of changed own rows, their quantiles 0, 0.5, 0.9,
    0.99 and 1. `moved`: the users that moved most. `common`: the common rows by partition. `trend`: the items whose
    decayed clicks changed most. `items_new`, `items_gone`: of the base.
    """

    before: int
    after: int
    bases: tuple[str, str]
    deltas: list[tuple[int, int]]
    rows_new: int
    rows_changed: int
    rows_gone: int
    distances: list[float]
    histogram: list[int]
    moved: list[Moved]
    common: list[Moved]
    trend: list[Clicked]
    items_new: int
    items_gone: int


@dataclass
class _Content:
    """A version's rows over its base: None is a tombstone."""

    rows: dict[str, Row | None] = field(default_factory=dict)
    common: list[Floats] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)


def difference(layout: Layout, before: int, after: int) -> Difference:
    """Compare two versions. Raises `UsageError` for one that does not exist, `MissingInput` where its base is gone."""
    chain = served.chain(layout)
    newest = chain.head_number()
    for number in (before, after):
        if not 1 <= number <= newest:
            known = f"Versions 1 to {newest}: `freshet publish history`." if newest else "Nothing was served yet."
            raise UsageError(f"there is no version {number}", hint=known)
    bodies = chain.read(before).body, chain.read(after).body
    store = BaseStore(layout)
    bases = store.open(bodies[0].base_id), store.open(bodies[1].base_id)
    contents = [_content(layout, base, body) for base, body in zip(bases, bodies, strict=True)]
    same = bodies[0].base_digest == bodies[1].base_digest
    moved = _moves(bases[0], contents[0].rows, contents[1].rows) if same else _Moves()
    distances = np.array([move.distance for move in moved.all], dtype=np.float64)
    ids = [set(base.items.ids) for base in bases]
    return Difference(
        before=before,
        after=after,
        bases=(bodies[0].base_id, bodies[1].base_id),
        deltas=[
            (len(served.included(bodies[0], p.partition)), len(served.included(bodies[1], p.partition)))
            for p in bodies[1].positions
        ],
        rows_new=moved.new,
        rows_changed=len(moved.all),
        rows_gone=moved.gone,
        distances=np.quantile(distances, [0, 0.5, 0.9, 0.99, 1]).tolist() if len(distances) else [],
        histogram=np.histogram(distances, 10)[0].tolist() if len(distances) else [],
        moved=sorted(moved.all, key=lambda move: -move.distance)[:MOST_MOVED],
        common=_common(contents) if same else [],
        trend=_clicks(bases, bodies, contents),
        items_new=len(ids[1] - ids[0]),
        items_gone=len(ids[0] - ids[1]),
    )


@dataclass
class _Moves:
    new: int = 0
    gone: int = 0
    all: list[Moved] = field(default_factory=list)


def _content(layout: Layout, base: OpenBase, body: Served) -> _Content:
    found = _Content()
    for position in body.positions:
        chain = deltas.chain(layout, body.base_id, position.partition)
        numbers = served.included(body, position.partition)
        changes = deltas.compacted(deltas.read(chain, chain.read(number)) for number in numbers)
        found.common.append(changes.common if changes else base.common)
        if changes:
            found.rows.update(dict.fromkeys(changes.tombstones))
            found.rows.update(changes.rows)
            found.counts = trend.merged([found.counts, changes.trend])
    found.counts = trend.merged([base.trend, found.counts])
    return found


def _moves(base: OpenBase, before: Mapping[str, Row | None], after: Mapping[str, Row | None]) -> _Moves:
    found = _Moves()
    for user in sorted(before.keys() | after.keys()):
        was, now = (rows[user] if user in rows else base.rows.get(user) for rows in (before, after))
        if was and now:
            if not np.array_equal(was.own, now.own):
                found.all.append(_moved(user, base.common + was.own, base.common + now.own))
        else:
            found.new += now is not None
            found.gone += was is not None
    return found


def _common(contents: list[_Content]) -> list[Moved]:
    pairs = zip(contents[0].common, contents[1].common, strict=True)
    return [_moved(f"partition {number}", was, now) for number, (was, now) in enumerate(pairs)]


def _clicks(bases: tuple[OpenBase, OpenBase], bodies: tuple[Served, Served], contents: list[_Content]) -> list[Clicked]:
    decayed = []
    for base, body, content in zip(bases, bodies, contents, strict=True):
        items, counts = list(content.counts), np.array(list(content.counts.values()), dtype=np.float64)
        half_life = base.manifest.online.half_life_ms
        now: Doubles = trend.decayed(counts, body.trend_time, base.manifest.trend_t0, half_life)
        decayed.append(dict(zip(items, now.tolist(), strict=True)))
    was, now_clicked = decayed
    everything = [Clicked(i, was.get(i, 0.0), now_clicked.get(i, 0.0)) for i in sorted(was.keys() | now_clicked.keys())]
    return sorted(everything, key=lambda item: -abs(item.after - item.before))[:MOST_MOVED]


def _moved(name: str, was: Floats, now: Floats) -> Moved:
    return Moved(name, float(np.linalg.norm(now - was)), angle(now, was))
