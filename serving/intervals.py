"""What each version showed for the first time, and how its clicks were found before they were learned."""

from __future__ import annotations

import msgspec

from contracts import deltas, recall, served
from contracts.chain import Entry
from contracts.deltas import Delta, DeltaChain
from contracts.errors import WrongParent
from contracts.layout import Layout
from contracts.recall import Recall
from contracts.served import Position, Served

MOST, MOMENTS = 2000, 12  # of one version: deltas that are read, and moments that are shown; the newest ones


class Moment(msgspec.Struct, frozen=True):
    """At `at` (ms of watermark) the newest click known to a hop had happened at `newest` (ms of event time)."""

    at: int
    newest: int


class Interval(msgspec.Struct, frozen=True):
    """The clicks between the version before and this one: of `clicks` scored before they were learned, how many were
    among the first `k` of the fresh rows and of the frozen base. `samples`: those of the deltas shown first;
    `deltas`: how new what they know was.
    """

    clicks: int = 0
    fresh_hits: int = 0
    frozen_hits: int = 0
    k: int = 0
    samples: int = 0
    deltas: list[Moment] = []


class Intervals:
    """The intervals of the versions that were asked for last. One thread at a time; a version is read once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._kept: dict[str, Interval] = {}

    def of(self, before: Entry[Served] | None, entry: Entry[Served]) -> Interval:
        """Return what `entry` showed first. Raises `Corrupt`, `ChainBroken`, `WrongParent` naming a delta."""
        found = self._kept.get(entry.digest)
        if found is None:
            found = self._kept[entry.digest] = self._read(before.body if before else None, entry.body)
        return found

    def forget_but(self, entries: list[Entry[Served]]) -> None:
        """Keep only the intervals of these versions."""
        names = {entry.digest for entry in entries}
        self._kept = {digest: interval for digest, interval in self._kept.items() if digest in names}

    def _read(self, before: Served | None, shown: Served) -> Interval:
        if shown.action == "rollback" or not self._layout.base(shown.base_id).is_dir():
            return Interval()
        hits, samples = Recall(), 0
        moments: dict[int, int] = {}
        for position in shown.positions:
            chain = deltas.chain(self._layout, shown.base_id, position.partition)
            first = max(_first(chain, before, shown, position), position.delta - MOST + 1)
            for number in range(first, position.delta + 1):
                delta = chain.read(number)
                _check(delta, shown)
                hits.add(recall.validation_of(chain, delta))
                samples += delta.body.samples
                if delta.body.samples:  # those without say nothing of when a click was
                    at = delta.body.watermark
                    moments[at] = max(moments.get(at, 0), delta.body.last_event_time)
        known = [Moment(at, newest) for at, newest in sorted(moments.items())[-MOMENTS:]]
        return Interval(hits.clicks, hits.served, hits.frozen, hits.k, samples, known)


def _first(chain: DeltaChain, before: Served | None, shown: Served, position: Position) -> int:
    """Return the first delta of a partition that no version before has shown.

    After a cut-over that is the first one beyond what the former base had reached: no click counts twice.
    """
    if before is None:
        return 1
    if before.base_digest == shown.base_digest:
        return 1 + served.reached(before, position.partition)
    watermarks = [former.watermark for former in before.positions if former.partition == position.partition]
    return chain.first_that_reached(max(watermarks, default=-1) + 1, lambda body: body.watermark)


def _check(delta: Entry[Delta], shown: Served) -> None:
    if delta.body.base_digest != shown.base_digest:
        raise WrongParent(f"delta {delta.number} of base {shown.base_id} was made on another base of that name")
