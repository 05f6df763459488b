"""Counts at every hop, read from what each stage committed; every line that has to add up says whether it does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from contracts import deltas, served, shards
from contracts.bases import Base
from contracts.layout import Layout
from streams.records import Topic


@dataclass(frozen=True)
class Line:
    """One hop: what it counts, how many, and the sum that it must equal (None: nothing to compare with)."""

    hop: str
    count: int
    of: str = ""
    expected: int | None = None

    @property
    def adds_up(self) -> bool:
        """Whether the count is what it must be."""
        return self.expected is None or self.expected == self.count


@dataclass
class Ledger:
    """The hops of one run, in the order in which a click goes through them."""

    lines: list[Line] = field(default_factory=list)
    digest: str = ""

    @property
    def adds_up(self) -> bool:
        """Whether every hop agrees with the one before."""
        return all(line.adds_up for line in self.lines)


def ledger(layout: Layout, topic: Topic, base: Base, sent: int) -> Ledger:
    """Count what every stage has committed; `sent` is how many records the log has."""
    records, read, emitted, digests = _shards(layout, topic)
    clicks = {outcome.removeprefix("clicks:"): n for outcome, n in read.items() if outcome.startswith("clicks:")}
    rejected = sum(n for outcome, n in read.items() if outcome.startswith("rejected:"))
    samples, trained = sum(emitted.values()), sum(base.cut)
    learned = _deltas(layout, base)
    versions = [entry.body for entry in served.chain(layout).entries()]
    book = Ledger(digest=shards.combined(digests))
    book.lines = [
        Line("records of the log", sent),
        Line("records read into shards", records, "records of the log", sent),
        Line("  requests", read["requests"]),
        Line("  ticks", read["ticks"]),
        Line("  items", read["items"]),
        Line("  rejected, as dead letters", rejected),
        Line("  clicks", records - read["requests"] - read["ticks"] - read["items"] - rejected),
        Line("    duplicate", clicks.get("duplicate", 0)),
        Line("samples", samples, "clicks but duplicates", sum(clicks.values()) - clicks.get("duplicate", 0)),
        *(Line(f"  {joined}", count) for joined, count in sorted(emitted.items())),
        Line("samples in the base", trained),
        Line("samples in deltas", learned["samples"], "samples but the base's", samples - trained),
        Line("  learned", learned["learned"]),
        Line("  trend only (item unknown to the base)", learned["trend_only"]),
        Line("  set aside", learned["set_aside"]),
        Line("samples served", _served(layout, base), "samples in deltas", learned["samples"]),
        Line("versions served", len(versions)),
    ]
    return book


def _shards(layout: Layout, topic: Topic) -> tuple[int, Counter[str], Counter[str], dict[int, str]]:
    records, digests = 0, {}
    read: Counter[str] = Counter()
    emitted: Counter[str] = Counter()
    for partition in range(topic.partitions):
        chain = shards.chain(layout, topic.name, partition)
        for entry in chain.entries():
            records += entry.body.records
            read.update(entry.body.read)
            emitted.update(entry.body.emitted)
        digests[partition] = shards.samples_digest(chain)
    return records, read, emitted, digests


def _deltas(layout: Layout, base: Base) -> Counter[str]:
    total: Counter[str] = Counter()
    for partition in range(base.partitions):
        for entry in deltas.chain(layout, base.base_id, partition).entries():
            body = entry.body
            total.update(
                samples=body.samples, learned=body.learned, trend_only=body.trend_only, set_aside=body.set_aside
            )
    return total


def _served(layout: Layout, base: Base) -> int:
    """Return how many samples stand behind the served rows and trend counts, beyond the base."""
    head = served.head(layout)
    if head is None or head.body.base_id != base.base_id:
        return 0
    return sum(position.next_ordinal - base.cut[position.partition] for position in head.body.positions)
