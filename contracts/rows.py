"""User rows as bases and deltas carry them: an own row, its evidence, and the ring of last clicked items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from contracts.arrays import Arrays, Column, Floats, Integers, TextColumn, sliced
from contracts.errors import Corrupt

RING = 64
Item = TypeVar("Item", int, str)


@dataclass(frozen=True, eq=False)
class Row:
    """One user's online state.

    `own`: float32 [width], an offset from the common row. `clicks` seen and `last_event_time` (ms) are its evidence.
    `ring`: the last clicked items, oldest first, at most `RING`: what serving must not show again.
    """

    own: Floats
    clicks: int
    last_event_time: int
    ring: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        """Equal rows have the same numbers; a NaN equals nothing."""
        if not isinstance(other, Row):
            return NotImplemented
        facts = (self.clicks, self.last_event_time, self.ring) == (other.clicks, other.last_event_time, other.ring)
        return facts and np.array_equal(self.own, other.own)

    def age(self, now: int) -> int | None:
        """Return how long before `now` (ms) the last click was; None where none is known, as of an imported row."""
        return now - self.last_event_time if self.clicks else None

    __hash__ = None  # type: ignore[assignment]  # of a row with an array nobody makes a key


@dataclass(frozen=True)
class Evidence:
    """What the rows of a table rest on: int64 [n] each; times in ms."""

    clicks: Integers
    last_event_time: Integers


@dataclass(frozen=True)
class Rings:
    """The rings of a table: `ends` int64 [n], `codes` positions in `items`, rings one after the other."""

    ends: Integers
    codes: Integers
    items: list[str]

    def of_row(self, at: int) -> tuple[str, ...]:
        """Return the ring of the row at `at`, oldest first."""
        codes = self.codes[int(self.ends[at - 1]) if at else 0 : int(self.ends[at])]
        return tuple([self.items[code] for code in codes.tolist()])

    @classmethod
    def of(cls, rings: Sequence[Sequence[int]], items: list[str]) -> Rings:
        """Return rings that are given as codes, one after the other."""
        codes = np.array([code for ring in rings for code in ring], dtype=np.int64)
        return cls(np.cumsum([len(ring) for ring in rings], dtype=np.int64), codes, items)


class TextRings:
    """The rings of a table as they were written, item by item; `codes` and `items` are made when they are asked for."""

    def __init__(self, ends: Integers, texts: TextColumn) -> None:
        self.ends, self.texts = ends, texts

    def of_row(self, at: int) -> tuple[str, ...]:
        """Return the ring of the row at `at`, oldest first."""
        return tuple(self.texts[int(self.ends[at - 1]) if at else 0 : int(self.ends[at])])

    @cached_property
    def _coded(self) -> tuple[Integers, list[str]]:
        return self.texts.coded()

    @property
    def codes(self) -> Integers:
        """Positions in `items`, rings one after the other."""
        return self._coded[0]

    @property
    def items(self) -> list[str]:
        """The distinct items."""
        return self._coded[1]


class RowTable(Mapping[str, Row]):
    """Rows by user, as arrays; a `Row` is made when one is asked for.

    `users`: n distinct ids; `own`: float32 [n, width]; `clicks`, `last_event_time`: int64 [n]; `ring_ends`: int64 [n],
    where each ring ends in `ring_codes`, int32 or int64, positions in `items`. None of them may be changed.
    """

    def __init__(self, users: list[str], own: Floats, evidence: Evidence, rings: Rings | TextRings) -> None:
        self.users, self.own = users, own
        self.evidence, self.rings = evidence, rings

    @classmethod
    def of(cls, rows: Mapping[str, Row], width: int) -> RowTable:
        """Return the table of `rows`, sorted by user id."""
        users = sorted(rows)
        ordered = [rows[user] for user in users]
        codes: dict[str, int] = {}
        rings = [[codes.setdefault(item, len(codes)) for item in row.ring] for row in ordered]
        return cls(
            users,
            np.stack([row.own for row in ordered]).astype(np.float32, copy=False)
            if ordered
            else np.zeros((0, width), np.float32),
            Evidence(
                np.array([row.clicks for row in ordered], dtype=np.int64),
                np.array([row.last_event_time for row in ordered], dtype=np.int64),
            ),
            Rings.of(rings, list(codes)),
        )

    @cached_property
    def _at(self) -> dict[str, int]:
        return {user: at for at, user in enumerate(self.users)}

    def position(self, user: str) -> int:
        """Return where a user's row stands, -1 for nowhere."""
        return self._at.get(user, -1)

    def ring_of(self, at: int) -> Integers:
        """Return the ring of the row at `at`, positions in `rings.items`, oldest first."""
        ends = self.rings.ends
        return self.rings.codes[int(ends[at - 1]) if at else 0 : int(ends[at])]

    def with_own(self, own: Floats) -> RowTable:
        """Return the same rows with other own rows, float32 [n, width]; nothing else is copied."""
        other = copy(self)
        other.own = own
        return other

    def __getitem__(self, user: str) -> Row:
        return self.row_at(self._at[user])

    def row_at(self, at: int) -> Row:
        """Return the row at a position."""
        clicks, last_event_time = int(self.evidence.clicks[at]), int(self.evidence.last_event_time[at])
        return Row(self.own[at], clicks, last_event_time, self.rings.of_row(at))

    def __iter__(self) -> Iterator[str]:
        return iter(self.users)

    def __len__(self) -> int:
        return len(self.users)


def pack_table(table: RowTable) -> dict[str, Column]:
    """Return the columns of a table, whose users must be sorted."""
    items = table.rings.items
    return {
        "users": table.users,
        "own": table.own,
        "clicks": table.evidence.clicks,
        "last_event_time": table.evidence.last_event_time,
        "ring_ends": table.rings.ends,
        "ring_items": [items[code] for code in table.rings.codes.tolist()],
    }


def unpack_table(arrays: Arrays, width: int, what: str, coded: bool = True) -> RowTable:
    """Return the table of `pack_table`. Raises `Corrupt`. Without `coded` rings stay as text until they are asked for:
    better where few of them ever are, worse where many name the same items.
    """
    users = arrays.texts("users")
    own = arrays.floats("own", len(users), width)
    clicks = arrays.integers("clicks", len(users))
    times = arrays.integers("last_event_time", len(users))
    ends = arrays.integers("ring_ends", len(users))
    rings = (
        Rings(ends, *arrays.coded_texts("ring_items")) if coded else TextRings(ends, arrays.text_column("ring_items"))
    )
    lengths = np.diff(ends, prepend=0)
    held = len(rings.codes) if isinstance(rings, Rings) else len(rings.texts)
    if np.any(lengths < 0) or int(lengths.sum()) != held:
        raise Corrupt(what, "column ring_ends")
    table = RowTable(users, own, Evidence(clicks, times), rings)
    if len(set(users)) != len(users):
        raise Corrupt(what, "column users")
    return table


def gathered(parts: Sequence[tuple[RowTable, Integers]]) -> RowTable:
    """Return a table of chosen rows of one table or more whose rings are text: positions, int64 [m], in that order.

    The users must be distinct; what is not chosen is not held any more.
    """
    users = [table.users[n] for table, at in parts for n in at.tolist()]
    evidence = Evidence(
        np.concatenate([table.evidence.clicks[at] for table, at in parts]),
        np.concatenate([table.evidence.last_event_time[at] for table, at in parts]),
    )
    texts, ends, before = [], [], 0
    for table, at in parts:
        rings = table.rings
        if not isinstance(rings, TextRings):
            raise TypeError("rings that are not text")
        starts = np.concatenate([np.zeros(1, np.int64), rings.ends])[:-1]
        picked, new_ends = sliced(np.arange(len(rings.texts)), starts[at], rings.ends[at])
        texts.append(rings.texts.chosen(picked))
        ends.append(new_ends + before)
        before += len(picked)
    own = np.concatenate([table.own[at] for table, at in parts])
    return RowTable(users, own, evidence, TextRings(np.concatenate(ends), texts[0].joined(texts[1:])))


def pushed(ring: tuple[str, ...], item_id: str) -> tuple[str, ...]:
    """Return `ring` with `item_id` as its newest item, without doubles, at most `RING` long."""
    return tuple(last_distinct([*ring, item_id]))


def last_distinct(clicked: list[Item]) -> list[Item]:
    """Return the last `RING` distinct items of a list of clicks, oldest first: its ring."""
    return list(dict.fromkeys(reversed(clicked)))[RING - 1 :: -1] if len(clicked) > 1 else clicked


def mean_common(commons: Sequence[Floats], samples: Sequence[int], of_base: Floats) -> Floats:
    """Return the mean of the partitions' common rows, float32 [width], weighted by the samples that each learned from
    since the base: the row of users without one. Where none has learned anything it is the base's, `of_base`.
    """
    weights = np.array(samples, dtype=np.float64)
    if not weights.sum():
        return of_base
    return np.asarray(weights @ np.stack(commons) / weights.sum(), dtype=np.float32)
