"""Boundary 5: the delta, everything of a partition's online state that changed against its parent, exact bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from contracts import drift
from contracts.arrays import Arrays, Column, Floats, pack
from contracts.chain import Chain, Entry
from contracts.drift import Drift
from contracts.errors import WrongParent
from contracts.layout import Layout
from contracts.rows import Row, RowTable, pack_table, unpack_table

SCHEMA = "freshet.delta/2"
OLDER = ("freshet.delta/1",)  # without `reasons`
ROWS, VALIDATION, DRIFT = "safetensors", "validation.jsonl", "drift.jsonl"


class Delta(msgspec.Struct, frozen=True):
    """Body of a delta's manifest: samples [first_ordinal, next_ordinal) of `partition`, folded onto `base_id`.

    `samples` sums to `learned` (made a row step), `trend_only` (item without a vector) and `set_aside` (guards), which
    is the sum of `reasons` (empty in deltas of before there were any).
    """

    base_id: str
    base_digest: str
    topic: str
    partition: int
    partitions: int
    first_ordinal: int
    next_ordinal: int
    watermark: int
    first_event_time: int
    last_event_time: int
    width: int
    trend_t0: int
    samples: int
    learned: int
    trend_only: int
    set_aside: int
    touched_rows: int
    reasons: dict[str, int] = {}


DeltaChain = Chain[Delta]


@dataclass
class Changes:
    """The content of a delta, or of several compacted: absolute values, so the newest wins.

    `common`: the partition's common row, float32 [width]; `common_samples`: how many samples it learned from since the
    base. `trend`: forward-decayed counts of the partition's clicks. `admission`: clicks of users without a row.
    """

    common: Floats
    common_samples: int
    rows: dict[str, Row] = field(default_factory=dict)
    tombstones: set[str] = field(default_factory=set)
    trend: dict[str, float] = field(default_factory=dict)
    admission: dict[str, int] = field(default_factory=dict)

    def apply(self, newer: Changes) -> None:
        """Fold a newer delta into this one (law 6: one by one equals compacted)."""
        self.common, self.common_samples = newer.common, newer.common_samples
        for user in newer.tombstones:
            self.rows.pop(user, None)
            self.admission.pop(user, None)
            self.tombstones.add(user)
        for user, row in newer.rows.items():
            self.rows[user] = row
            self.tombstones.discard(user)
            self.admission.pop(user, None)
        self.trend.update(newer.trend)
        self.admission.update(newer.admission)


@dataclass(frozen=True)
class Content:
    """A delta's rows file as it was read: as `Changes`, but for the rows, of which none is made yet."""

    common: Floats
    common_samples: int
    rows: RowTable
    tombstones: set[str]
    trend: dict[str, float]
    admission: dict[str, int]

    def changes(self) -> Changes:
        """Return it with every row."""
        return Changes(self.common, self.common_samples, dict(self.rows), self.tombstones, self.trend, self.admission)


def chain(layout: Layout, base_id: str, partition: int) -> DeltaChain:
    """Return the chain of one (base, partition) under `layout`."""
    return Chain(layout.deltas(base_id, partition), SCHEMA, Delta, OLDER)


def encode(changes: Changes, width: int) -> bytes:
    """Return the rows file of a delta; the same changes give the same bytes."""
    return encode_table(changes, RowTable.of(changes.rows, width))


def encode_table(changes: Changes, rows: RowTable) -> bytes:
    """Return the rows file of a delta whose rows are those of a table with sorted users, and not `changes.rows`."""
    items, waiting = sorted(changes.trend), sorted(changes.admission)
    columns: dict[str, Column] = {
        "common": changes.common,
        "common_samples": np.array([changes.common_samples], dtype=np.int64),
        "tombstones": sorted(changes.tombstones),
        "trend_items": items,
        "trend_counts": np.array([changes.trend[item] for item in items], dtype=np.float64),
        "admission_users": waiting,
        "admission_clicks": np.array([changes.admission[user] for user in waiting], dtype=np.int64),
    }
    return pack({**columns, **pack_table(rows)})


def decode(data: bytes, width: int, what: str = "a delta") -> Content:
    """Return what a rows file holds. Raises `Corrupt`."""
    arrays = Arrays(data, what)
    items, waiting = arrays.texts("trend_items"), arrays.texts("admission_users")
    return Content(
        common=arrays.floats("common", width),
        common_samples=int(arrays.integers("common_samples", 1)[0]),
        rows=unpack_table(arrays, width, what, coded=False),
        tombstones=set(arrays.texts("tombstones")),
        trend=dict(zip(items, arrays.doubles("trend_counts", len(items)).tolist(), strict=True)),
        admission=dict(zip(waiting, arrays.integers("admission_clicks", len(waiting)).tolist(), strict=True)),
    )


def read(deltas: DeltaChain, entry: Entry[Delta]) -> Changes:
    """Return the changes of one delta, digest checked. Raises `Corrupt`, `ChainBroken`."""
    return read_content(deltas, entry).changes()


def read_content(deltas: DeltaChain, entry: Entry[Delta]) -> Content:
    """Return what one delta holds, digest checked. Raises `Corrupt`, `ChainBroken`."""
    what = f"delta {entry.number} of {deltas.directory}"
    return deltas.parsed(entry, ROWS, lambda data: decode(data, entry.body.width, what))


def drift_of(deltas: DeltaChain, entry: Entry[Delta]) -> Drift | None:
    """Return the drift record of a delta, None where it has none. Raises `Corrupt`, `ChainBroken`, `UnknownSchema`."""
    if not any(file.name.endswith(DRIFT) for file in entry.files):
        return None
    return drift.decode(deltas.data(entry, DRIFT), f"the drift record of delta {entry.number} of {deltas.directory}")


def check_follows(entry: Entry[Delta], base_digest: str, before: Entry[Delta] | None, cut: int) -> None:
    """Refuse a delta of another base, with another parent, or with a gap. Raises `WrongParent`.

    `before`: the delta applied last (None: the base itself, whose cut for this partition is `cut`).
    """
    parent, ordinal = (before.digest, before.body.next_ordinal) if before else ("", cut)
    if entry.body.base_digest != base_digest:
        raise WrongParent(f"delta {entry.number} was made on another base ({entry.body.base_id})")
    if entry.parent != parent or entry.number != (before.number if before else 0) + 1:
        raise WrongParent(f"delta {entry.number} does not follow the delta applied before it")
    if entry.body.first_ordinal != ordinal:
        raise WrongParent(f"delta {entry.number} starts at sample {entry.body.first_ordinal}, not at {ordinal}")


def compacted(changes: Iterable[Changes]) -> Changes | None:
    """Fold deltas in order into one; None for none."""
    result: Changes | None = None
    for newer in changes:
        if result is None:
            result = Changes(newer.common, newer.common_samples)
        result.apply(newer)
    return result
