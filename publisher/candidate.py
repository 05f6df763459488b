"""What could be served next: a base, what was served of it before, and the deltas that came since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from contracts import deltas, rebases, served
from contracts.bases import BaseStore, OpenBase
from contracts.chain import DataFile, Entry
from contracts.deltas import Delta, DeltaChain
from contracts.errors import Corrupt, MissingInput, UnknownSchema
from contracts.layout import Layout
from contracts.served import Position, Served, ServedChain


@dataclass(frozen=True)
class Advance:
    """One partition: `before` is its served position (of a base never served: the cut), `entries` all deltas after it.

    `held` are the numbers of deltas that a rollback keeps out; `head` is the number of the chain's head.
    """

    chain: DeltaChain
    before: Position
    entries: tuple[Entry[Delta], ...]
    held: frozenset[int]
    head: int

    @property
    def shown(self) -> tuple[Entry[Delta], ...]:
        """The new deltas that a publish would show."""
        return tuple(entry for entry in self.entries if entry.number not in self.held)

    @property
    def position(self) -> Position:
        """How far the partition would be served: at the newest delta that is not held."""
        if not self.shown:
            return self.before
        newest = self.shown[-1]
        body = newest.body
        return Position(body.partition, newest.number, newest.digest, body.next_ordinal, body.watermark)


@dataclass(frozen=True)
class Candidate:
    """`head`: what is served now; `former`: the newest manifest that served this base (None: none did); `files`: its.

    `served_cut`: the cut's watermark of the base that is served; None before the first publish, or where it is gone.
    """

    base: OpenBase
    head: Entry[Served] | None
    former: Served | None
    advances: tuple[Advance, ...]
    served_cut: int | None
    files: tuple[DataFile, ...] = ()

    @property
    def number(self) -> int:
        """The number that its manifest would have."""
        return self.head.number + 1 if self.head else 1

    @property
    def is_cut_over(self) -> bool:
        """Whether another base is served now."""
        return self.head is not None and self.head.body.base_digest != self.base.digest

    @property
    def is_new(self) -> bool:
        """Whether a reader would see anything else than now."""
        return self.head is None or self.is_cut_over or any(advance.shown for advance in self.advances)

    def span(self) -> tuple[int, int]:
        """Return the first and last event time (ms) of what it shows; the cut's watermark where no sample came."""
        bodies = [entry.body for advance in self.advances for entry in advance.shown if entry.body.samples]
        times = [(body.first_event_time, body.last_event_time) for body in bodies]
        cut = self.base.manifest.cut_watermark
        if self.former and (self.former.first_event_time, self.former.last_event_time) != (cut, cut):
            times.append((self.former.first_event_time, self.former.last_event_time))
        if not times:
            return cut, cut
        return min(first for first, _ in times), max(last for _, last in times)


def find(layout: Layout, base_id: str | None, until: int | None = None) -> Candidate:
    """Read what could be served next of `base_id`; None: of the base that is served, before the first: of the newest.

    `until` (ms) leaves out the deltas that reach a later watermark.

    Raises `MissingInput` without a base, `Corrupt`, `ChainBroken` or `UnknownSchema` naming a file.
    """
    chain = served.chain(layout)
    head = chain.head()
    wanted = base_id or (head.body.base_id if head else "")
    base = BaseStore(layout).open(wanted) if wanted else rebases.newest(layout)
    entry = former_of(chain, head, base.digest)
    former = entry.body if entry else None
    partitions = range(base.manifest.partitions)
    advances = tuple(_reaching(_advance(layout, base, former, number), until) for number in partitions)
    cut = _cut(layout, head.body.base_id) if head else None
    return Candidate(base, head, former, advances, cut, entry.files if entry else ())


def _cut(layout: Layout, base_id: str) -> int | None:
    try:
        return BaseStore(layout).open(base_id).manifest.cut_watermark
    except (MissingInput, Corrupt, UnknownSchema):
        return None


def _reaching(advance: Advance, until: int | None) -> Advance:
    if until is None:
        return advance
    return replace(advance, entries=tuple(entry for entry in advance.entries if entry.body.watermark <= until))


def former_of(chain: ServedChain, head: Entry[Served] | None, base_digest: str) -> Entry[Served] | None:
    """Return the newest manifest up to `head` that serves the base with this digest, None if none does."""
    return next((entry for entry in _backwards(chain, head) if entry.body.base_digest == base_digest), None)


def _backwards(chain: ServedChain, head: Entry[Served] | None) -> Iterator[Entry[Served]]:
    if head:
        yield head
        for number in range(head.number - 1, 0, -1):
            yield chain.read(number)


def _advance(layout: Layout, base: OpenBase, former: Served | None, partition: int) -> Advance:
    manifest = base.manifest
    cut = Position(partition, 0, "", manifest.cut[partition], manifest.cut_watermark)
    before = next((p for p in former.positions if p.partition == partition), cut) if former else cut
    holds = [hold for hold in former.holds if hold.partition == partition] if former else []
    held = frozenset(number for hold in holds for number in range(hold.first, hold.last + 1))
    chain = deltas.chain(layout, manifest.base_id, partition)
    head = chain.head_number()
    entries = tuple(chain.entries(after=before.delta)) if head > before.delta else ()
    return Advance(chain, before, entries, held, head)
