"""User rows as bases and deltas carry them: an own row, its evidence, and the ring of last clicked items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contracts.arrays import Arrays, Column, Floats
from contracts.errors import Corrupt

RING = 64


@dataclass(frozen=True)
class Row:
    """One user's online state.

    `own`: float32 [width], an offset from the common row. `clicks` seen and `last_event_time` (ms) are its evidence.
    `ring`: the last clicked items, oldest first, at most `RING`: what serving must not show again.
    """

    own: Floats
    clicks: int
    last_event_time: int
    ring: tuple[str, ...]


def pack_rows(rows: Mapping[str, Row], width: int) -> dict[str, Column]:
    """Return the columns of `rows`, sorted by user id."""
    users = sorted(rows)
    ordered = [rows[user] for user in users]
    own = np.stack([row.own for row in ordered]) if ordered else np.zeros((0, width), np.float32)
    return {
        "users": users,
        "own": own.astype(np.float32, copy=False),
        "clicks": np.array([row.clicks for row in ordered], dtype=np.int64),
        "last_event_time": np.array([row.last_event_time for row in ordered], dtype=np.int64),
        "ring_ends": np.cumsum([len(row.ring) for row in ordered], dtype=np.int64),
        "ring_items": [item for row in ordered for item in row.ring],
    }


def unpack_rows(arrays: Arrays, width: int, what: str) -> dict[str, Row]:
    """Return the rows of `pack_rows`. Raises `Corrupt`."""
    users = arrays.texts("users")
    own = arrays.floats("own", len(users), width)
    clicks = arrays.integers("clicks", len(users)).tolist()
    times = arrays.integers("last_event_time", len(users)).tolist()
    ends = arrays.integers("ring_ends", len(users)).tolist()
    items = arrays.texts("ring_items")
    starts = [0, *ends][: len(users)]
    rings = [tuple(items[start:end]) for start, end in zip(starts, ends, strict=True)]
    if sum(map(len, rings)) != len(items) or len(set(users)) != len(users):
        raise Corrupt(what, "column ring_ends or users")
    facts = zip(users, own, clicks, times, rings, strict=True)
    return {user: Row(vector, seen, time, ring) for user, vector, seen, time, ring in facts}


def pushed(ring: tuple[str, ...], item_id: str) -> tuple[str, ...]:
    """Return `ring` with `item_id` as its newest item, without doubles, at most `RING` long."""
    return (*(item for item in ring if item != item_id), item_id)[-RING:]
