"""A run folder in which a day went by: samples, deltas, versions, a refusal, nights, and a base that comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contracts import nights, served, shards
from contracts.bases import OpenBase
from contracts.layout import Layout
from contracts.served import Gate
from contracts.shards import Rebuild, Shard
from tests.support.bases import CUT, MINUTE, Hits, Tiny, append_delta, random_changes, serve, stand, tiny_base

HALF_HOUR, LATER = 30 * MINUTE, 400 * 24 * 60 * MINUTE
GATES = (
    Gate("base", True, "every number is finite"),
    Gate("norms", True, "longest own row 0.50, at most 20 times the base's 0.50"),
    Gate("recall", True, "0.4410, the frozen base's 0.3120, of 940 clicks"),
)


def a_day(layout: Layout, rounds: int = 6, now: int | None = None) -> OpenBase:
    """Have `rounds` half hours of samples, deltas and versions, the last ending at `now` (ms; None: a replay)."""
    cut = now - rounds * HALF_HOUR if now else CUT
    base = tiny_base(layout, Tiny(cut_watermark=cut, partitions=2, users=40, items=120))
    for partition, ordinal in enumerate(base.manifest.cut):
        append_samples(layout, base, partition, ordinal, cut)
    for number in range(rounds + 1):
        if number:
            a_round(layout, base, number)
        at = cut + number * HALF_HOUR
        publish(layout, base, at, created_at=at + (MINUTE // 2 if now else LATER))
    return base


def publish(layout: Layout, base: OpenBase, at: int, **changed: Any) -> None:
    """Serve what is new of a replayed log as `publish run` would, at the watermark `at` (ms)."""
    facts: dict[str, Any] = {
        "gates": GATES,
        "who": "publish run",
        "last_event_time": at - MINUTE,
        "created_at": at + LATER,
    }
    serve(layout, base, **{**facts, **changed})


def a_round(layout: Layout, base: OpenBase, number: int) -> None:
    """Have half an hour of samples, learned: the frozen base finds less and less of them."""
    for partition in range(base.manifest.partitions):
        clicks = 400 + 60 * ((number * 7 + partition * 3) % 5)
        fresh, frozen = int(clicks * (0.42 + 0.01 * ((number * 5) % 7))), int(clicks * max(0.05, 0.38 - 0.012 * number))
        append_samples(layout, base, partition, clicks, base.manifest.cut_watermark + number * HALF_HOUR)
        changes = random_changes(base, partition, number, users=4)
        append_delta(layout, base, partition, changes, clicks, Hits(clicks, fresh, frozen))


def append_samples(layout: Layout, base: OpenBase, partition: int, samples: int, watermark: int) -> None:
    """Append the manifest of a shard with so many samples, the newest of them a minute before its watermark."""
    chain = shards.chain(layout, base.manifest.topic, partition)
    head = chain.head()
    offset, ordinal = (head.body.next_offset, head.body.next_ordinal) if head else (0, 0)
    body = Shard(
        topic=base.manifest.topic,
        topic_id="id",
        partition=partition,
        partitions=base.manifest.partitions,
        first_offset=offset,
        next_offset=offset + 3 * samples,
        first_ordinal=ordinal,
        next_ordinal=ordinal + samples,
        watermark=watermark,
        first_event_time=watermark - 20 * MINUTE,
        last_event_time=watermark - MINUTE,
        records=3 * samples,
        read={},
        emitted={},
        rebuild=Rebuild(0, -1),
    )
    chain.create(chain.prepare(head, body, {}))


def refuse(layout: Layout, base: OpenBase, why: str = "") -> None:
    """Put on record that the version after the served one was refused."""
    chain, number = served.refused(layout), served.chain(layout).head_number() + 1
    gates = (Gate("norms", True, "fine"), Gate("recall", False, why or "0.1031, and 0.3402 of the frozen base"))
    body = served.Refused(number, base.manifest.base_id, base.digest, (), gates, "publish run", "", CUT)
    chain.create(chain.prepare(chain.head(), body, {}))


def have_nights(layout: Layout, base: OpenBase, *steps: nights.Step, why: str = "") -> None:
    """Put the steps of one night on record."""
    chain = nights.chain(layout, base.manifest.topic)
    for step in steps:
        gates = (Gate("push", step != "refused", "0.31 of 9,000 clicks"),) if step in {"passed", "refused"} else ()
        told = why if step == "refused" else ""
        night = nights.Night(
            step, ("2017-10-04",), "", "" if step == "planned" else "next", {}, gates, "cron", told, CUT
        )
        chain.create(chain.prepare(chain.head(), night, {}))


def have_a_next_base(layout: Layout, base: OpenBase) -> None:
    """Have a later base that is being folded onto."""
    later = tiny_base(layout, Tiny(base_id="next", cut_watermark=base.manifest.cut_watermark + MINUTE, partitions=2))
    for state in ("announced", "verified", "folding"):
        stand(layout, later, state)


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
