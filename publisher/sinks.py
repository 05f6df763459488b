"""Sinks: copies of the served user rows elsewhere, for teams that serve in their own process.

A sink follows the served chain, so what was refused or is held never reaches it. Its cursor lies in the sink itself,
beside the rows. At-least-once, and the same bytes each time: effectively-once for whoever reads the newest row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import msgspec
import numpy as np

from contracts import deltas, served
from contracts.arrays import Floats
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.errors import Corrupt
from contracts.layout import Layout
from contracts.rows import Row
from contracts.served import Served

SCHEMA = "freshet.sink/1"
BATCH = 1000
_HEAD = struct.Struct("<Iqq")


class Cursor(msgspec.Struct, frozen=True):
    """What a sink holds: the content of served `version` (0: nothing yet) under the name `generation`.

    `digest`: that of its manifest. `writing`: that of the manifest whose rows are on their way, empty when none are.
    `commons`: the common row of each partition; a known user is answered by their partition's plus the own row, an
    unknown one by their mean, weighted by `common_samples`. `stale`: former names whose rows still have to go.
    """

    generation: str
    version: int
    digest: str
    base_id: str
    base_digest: str
    width: int
    commons: list[list[float]]
    common_samples: list[int]
    writing: str = ""
    writing_version: int = 0
    stale: list[str] = []
    schema: str = SCHEMA


class Sink(Protocol):
    """Where rows go. Every method raises `MissingServer` when it is away; whatever was asked may then be half done."""

    name: str

    def cursor(self) -> Cursor | None:
        """Return what it holds, None when it holds nothing. Raises `Corrupt` for what is no cursor."""

    def point(self, cursor: Cursor) -> None:
        """Replace the cursor, in one step."""

    def begin(self, generation: str, width: int) -> None:
        """Make room for rows of `width` numbers under a new name; what an interrupted attempt left there goes."""

    def put(self, generation: str, version: int, rows: Mapping[str, Row]) -> None:
        """Write rows over what users have there; `version` is what they are of."""

    def remove(self, generation: str, users: Sequence[str]) -> None:
        """Delete users' rows; one that is not there is no error."""

    def drop(self, generation: str) -> None:
        """Let rows go that the cursor no longer names, if they are there; slow readers may have them for a while."""

    def close(self) -> None:
        """End the connection."""


@dataclass
class _Changes:
    """Rows to write and users to remove; `commons` by partition, with how many samples each learned from."""

    commons: list[Floats]
    samples: list[int]
    rows: dict[str, Row] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


def follow(layout: Layout, sink: Sink) -> int:
    """Bring a sink to what is served; return how many rows were written, 0 where it was there already.

    1. say in the cursor what is being written.
    2. write the rows: those of new deltas alone where the version goes on from what the sink holds, in the order of the
       deltas; else all of them, under a new name.
    3. point the cursor at the version, its name and its common rows, in one step.
    4. let the rows under the former name go.

    A crash, or a server that goes away: before 3 readers have the former version (rows that were overwritten say which
    version they are of), and the next call writes all rows of that step again. What was on its way and is no longer
    served (a rollback came between) is known by the cursor, and everything is written anew.
    """
    head = served.head(layout)
    if head is None:
        return 0
    before = sink.cursor()
    if before:
        _drop_stale(sink, before.stale, before)
        before = msgspec.structs.replace(before, stale=[])
    if before and before.digest == head.digest and not before.writing:
        return 0
    base = BaseStore(layout).open(head.body.base_id)
    since = _goes_on_from(layout, before, head)
    changes = _changed(layout, base, head.body, since)
    generation = before.generation if before and since else _named_after(head.digest)
    following = _cursor(generation, head, base, changes)
    # Step 1: say what is being written
    held = before or msgspec.structs.replace(following, generation="", version=0, digest="")
    abandoned = sorted({_named_after(held.writing)} - {generation, held.generation, ""})
    sink.point(msgspec.structs.replace(held, writing=head.digest, writing_version=head.number, stale=abandoned))
    # Step 2: the rows
    if not since:
        sink.begin(generation, following.width)
    written = _write(sink, following, base, changes, not since)
    # Step 3: the cursor
    stale = sorted({held.generation, *abandoned} - {generation, ""})
    sink.point(msgspec.structs.replace(following, stale=stale))
    # Step 4: what no cursor names any more
    _drop_stale(sink, stale, following)
    return written


def _drop_stale(sink: Sink, stale: Sequence[str], cursor: Cursor) -> None:
    """Let the names go that the cursor remembers as stale, and then have it forget them."""
    for generation in stale:
        sink.drop(generation)
    if stale:
        sink.point(msgspec.structs.replace(cursor, stale=[]))


def _named_after(digest: str) -> str:
    return digest[:16]


def _goes_on_from(layout: Layout, before: Cursor | None, head: Entry[Served]) -> Served | None:
    """Return what the sink holds, if the head is that and further deltas, and so is what was on its way; else None."""
    chain = served.chain(layout)
    if before is None or not 1 <= before.version <= head.number or before.base_digest != head.body.base_digest:
        return None
    held = chain.read(before.version)
    if held.digest != before.digest or not served.leads_to(held.body, head.body):
        return None
    if before.writing:
        if not 1 <= before.writing_version <= head.number:
            return None
        underway = chain.read(before.writing_version)
        if underway.digest != before.writing or not served.leads_to(underway.body, head.body):
            return None
    return held.body


def _changed(layout: Layout, base: OpenBase, body: Served, since: Served | None) -> _Changes:
    """Return what the deltas of `body` that are not in `since` make of users, the newest of each; None: all of them."""
    partitions = base.manifest.partitions
    found = _Changes([base.common] * partitions, [0] * partitions)
    for position in body.positions:
        chain = deltas.chain(layout, body.base_id, position.partition)
        numbers = served.included(body, position.partition)
        new = numbers[len(served.included(since, position.partition)) if since else 0 :]
        changes = deltas.compacted(deltas.read(chain, chain.read(number)) for number in new)
        if changes:
            found.rows.update(changes.rows)
            found.gone |= changes.tombstones
        newest = changes or (deltas.read(chain, chain.read(numbers[-1])) if numbers else None)
        if newest:
            found.commons[position.partition] = newest.common
            found.samples[position.partition] = newest.common_samples
    return found


def _write(sink: Sink, to: Cursor, base: OpenBase, changes: _Changes, whole: bool) -> int:
    rows: Iterable[tuple[str, Row]] = changes.rows.items()
    if whole:
        rows = _all_rows(base, changes)
    written = 0
    waiting = iter(rows)
    while batch := dict(islice(waiting, BATCH)):
        sink.put(to.generation, to.version, batch)
        written += len(batch)
    if not whole:
        gone = sorted(changes.gone)
        for first in range(0, len(gone), BATCH):
            sink.remove(to.generation, gone[first : first + BATCH])
    return written


def _all_rows(base: OpenBase, changes: _Changes) -> Iterator[tuple[str, Row]]:
    for user in base.rows:
        if user not in changes.gone and user not in changes.rows:
            yield user, base.rows[user]
    yield from changes.rows.items()


def _cursor(generation: str, head: Entry[Served], base: OpenBase, changes: _Changes) -> Cursor:
    return Cursor(
        generation=generation,
        version=head.number,
        digest=head.digest,
        base_id=head.body.base_id,
        base_digest=head.body.base_digest,
        width=base.manifest.towers.width,
        commons=[common.tolist() for common in changes.commons],
        common_samples=changes.samples,
    )


def pack_row(version: int, row: Row) -> bytes:
    """Return a row as a sink holds it, little-endian: uint32 version, int64 clicks and last event time, float32 own."""
    return _HEAD.pack(version, row.clicks, row.last_event_time) + row.own.astype("<f4").tobytes()


def unpack_row(data: bytes, width: int) -> tuple[int, Row]:
    """Return the version and the row (without its ring) in a sink's bytes. Raises `Corrupt`."""
    if len(data) != _HEAD.size + 4 * width:
        raise Corrupt("a row of a sink", f"its length ({len(data)} bytes)")
    version, clicks, last_event_time = _HEAD.unpack_from(data)
    own = np.frombuffer(data, "<f4", offset=_HEAD.size).astype(np.float32)
    return version, Row(own, clicks, last_event_time, ())


def read_cursor(data: bytes, where: str) -> Cursor:
    """Return the cursor in a sink's bytes. Raises `Corrupt`."""
    try:
        cursor = msgspec.json.decode(data, type=Cursor)
    except ValueError as error:  # MsgspecError, UnicodeDecodeError
        raise Corrupt(f"the cursor of {where}", str(error), hint="Delete it: everything is written anew.") from None
    if cursor.schema != SCHEMA:
        raise Corrupt(f"the cursor of {where}", f"its schema {cursor.schema!r}", hint="Delete it, or the whole sink.")
    return cursor
