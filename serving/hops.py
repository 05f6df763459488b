"""How far samples, deltas and what is served have come, partition by partition, and whether their counts add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from contracts import deltas, shards
from contracts.bases import OpenBase
from contracts.chain import Chain, Entry
from contracts.deltas import Delta, DeltaChain
from contracts.layout import Layout
from contracts.served import Hold, Served
from contracts.shards import Shard

STEP = 500  # manifests of deltas that one look adds to the sums of a partition
QUIET = 20  # manifests that are searched for the newest click
Hopping = TypeVar("Hopping", Shard, Delta)


class Hop(msgspec.Struct, frozen=True):
    """One hop: event time of the newest click that it knows, and how far its slowest partition has come (ms).

    `behind_ms`: watermark of the hop before minus this one's, in the partition where that is most. None: not known.
    """

    name: str
    newest: int | None
    watermark: int | None
    behind_ms: int | None


class PartitionPage(msgspec.Struct, frozen=True):
    """One partition: samples at each hop, and the watermarks (ms) that they reach. None: nothing there."""

    partition: int
    in_base: int
    samples: int | None
    in_deltas: int
    served: int
    held: int
    samples_watermark: int | None
    deltas_watermark: int | None
    served_watermark: int | None


class Line(msgspec.Struct, frozen=True):
    """A count, and what it has to be (None: there is nothing to compare it with), in words too."""

    name: str
    count: int
    must_be: str = ""
    expected: int | None = None


@dataclass(frozen=True)
class Sums:
    """What the first `number` deltas of a partition hold together."""

    number: int = 0
    digest: str = ""
    samples: int = 0
    learned: int = 0
    trend_only: int = 0
    set_aside: int = 0

    def and_(self, delta: Entry[Delta]) -> Sums:
        """Return the sums with one more delta."""
        body = delta.body
        return Sums(
            delta.number,
            delta.digest,
            self.samples + body.samples,
            self.learned + body.learned,
            self.trend_only + body.trend_only,
            self.set_aside + body.set_aside,
        )


@dataclass(frozen=True)
class Standing:
    """One partition as the chains have it now. `newest`, `newest_learned`: event times of the newest
    sample in shards and in deltas (None: none was found).

    `reached`: ordinal that is served; `held`: samples of held deltas before it, `held_beyond`: after it.
    """

    partition: int
    cut: int
    shard: Shard | None
    newest: int | None
    newest_learned: int | None
    delta: Delta | None
    deltas: int
    sums: Sums
    reached: int
    held: int
    held_beyond: int
    watermark: int | None


class Hops:
    """Looks at the hops behind a served version; sums of deltas are carried on from look to look, `STEP` at a time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sums: dict[tuple[str, int], Sums] = {}

    def standings(self, base: OpenBase, shown: Served | None) -> list[Standing]:
        """Return where each partition stands (`shown` None: nothing is served). Raises `Corrupt`, `ChainBroken`."""
        self._sums = {key: sums for key, sums in self._sums.items() if key[0] == base.digest}
        return [self._standing(base, shown, at) for at in range(base.manifest.partitions)]

    def _standing(self, base: OpenBase, shown: Served | None, partition: int) -> Standing:
        manifest = base.manifest
        log = shards.chain(self._layout, manifest.topic, partition)
        chain = deltas.chain(self._layout, manifest.base_id, partition)
        shard, delta, cut = log.head(), chain.head(), manifest.cut[partition]
        position = next((p for p in (shown.positions if shown else ()) if p.partition == partition), None)
        holds = [hold for hold in (shown.holds if shown else ()) if hold.partition == partition]
        number = position.delta if position else 0
        return Standing(
            partition=partition,
            cut=cut,
            shard=shard.body if shard else None,
            newest=_newest_click(log, shard),
            newest_learned=_newest_click(chain, delta),
            delta=delta.body if delta else None,
            deltas=delta.number if delta else 0,
            sums=self._summed(chain, base.digest, partition, delta.number if delta else 0),
            reached=position.next_ordinal if position else cut,
            held=_held(chain, [hold for hold in holds if hold.last <= number]),
            held_beyond=_held(chain, [hold for hold in holds if hold.last > number]),
            watermark=position.watermark if position else None,
        )

    def _summed(self, chain: DeltaChain, digest: str, partition: int, head: int) -> Sums:
        sums = self._sums.get((digest, partition), Sums())
        if sums.number > head or (sums.number and chain.read(sums.number).digest != sums.digest):
            sums = Sums()  # the chain was made anew
        for number in range(sums.number + 1, min(head, sums.number + STEP) + 1):
            sums = sums.and_(chain.read(number))
        self._sums[digest, partition] = sums
        return sums


def _newest_click(chain: Chain[Hopping], head: Entry[Hopping] | None) -> int | None:
    """Return the event time of the newest sample in the newest manifests; those without samples say nothing."""
    for number in range(head.number if head else 0, max(head.number - QUIET, 0) if head else 0, -1):
        body = head.body if head and number == head.number else chain.read(number).body
        if body.next_ordinal > body.first_ordinal:
            return body.last_event_time
    return None


def _held(chain: DeltaChain, holds: Sequence[Hold]) -> int:
    """Return the samples of the deltas that are held."""
    return sum(chain.read(h.last).body.next_ordinal - chain.read(h.first).body.first_ordinal for h in holds)


def hops(standings: Sequence[Standing], shown: Served | None) -> list[Hop]:
    """Return the three hops, from the log to what is served."""
    reached = [s.delta.watermark if s.delta else None for s in standings]
    log = [s.shard.watermark if s.shard else None for s in standings]
    now = [s.watermark for s in standings]
    return [
        Hop("samples", _most([s.newest for s in standings]), _least(log), None),
        Hop("deltas", _most([s.newest_learned for s in standings]), _least(reached), _behind(log, reached)),
        Hop("served", shown.last_event_time if shown else None, _least(now), _behind(reached, now)),
    ]


def partition_pages(standings: Sequence[Standing]) -> list[PartitionPage]:
    """Return the table of partitions."""
    return [
        PartitionPage(
            partition=s.partition,
            in_base=s.cut,
            samples=s.shard.next_ordinal if s.shard else None,
            in_deltas=s.sums.samples,
            served=s.reached - s.cut - s.held,
            held=s.held + s.held_beyond,
            samples_watermark=s.shard.watermark if s.shard else None,
            deltas_watermark=s.delta.watermark if s.delta else None,
            served_watermark=s.watermark,
        )
        for s in standings
    ]


def lines(standings: Sequence[Standing]) -> list[Line]:
    """Return the counts from the log to what is served; the sums of deltas against the ordinals that all agree upon."""

    def total(count: Callable[[Standing], int]) -> int:
        return sum(map(count, standings))

    logged = total(lambda s: s.shard.next_ordinal if s.shard else 0)
    cut, learned = total(lambda s: s.cut), total(lambda s: _learned(s) - s.cut)
    counted, waiting = total(lambda s: s.sums.samples), total(lambda s: _learned(s) - s.reached - s.held_beyond)
    missing = total(lambda s: s.deltas - s.sums.number)
    held, shown = total(lambda s: s.held + s.held_beyond), total(lambda s: s.reached - s.cut - s.held)
    kinds = [total(lambda s: s.sums.learned), total(lambda s: s.sums.trend_only), total(lambda s: s.sums.set_aside)]
    if missing:
        counting = Line(f"samples in deltas ({missing:,} deltas are still being counted)", counted)
    else:
        counting = Line("samples in deltas", counted, "the span of their ordinals", learned)
    log = [
        Line("samples in shards", logged),
        Line("samples in the base", cut),
        Line("waiting for the trainer", logged - cut - learned, "0 or more", max(logged - cut - learned, 0)),
    ]
    return [
        *(log if any(s.shard for s in standings) else log[1:2]),  # a base may be used where its log is not
        counting,
        Line("learned, trend only and set aside", sum(kinds), "samples in deltas", counted),
        Line("waiting for the publisher", waiting, "0 or more", max(waiting, 0)),
        Line("held by a rollback", held),
        Line(
            "samples served",
            shown,
            "samples in deltas, but those held and waiting",
            None if missing else counted - held - waiting,
        ),
    ]


def _learned(standing: Standing) -> int:
    return standing.delta.next_ordinal if standing.delta else standing.cut


def _most(times: Sequence[int | None]) -> int | None:
    return max((time for time in times if time is not None), default=None)


def _least(times: Sequence[int | None]) -> int | None:
    known = [time for time in times if time is not None]
    return min(known) if len(known) == len(times) and known else None


def _behind(before: Sequence[int | None], now: Sequence[int | None]) -> int | None:
    both = [
        former - later for former, later in zip(before, now, strict=True) if former is not None and later is not None
    ]
    return max(max(both), 0) if both else None
