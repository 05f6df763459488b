"""How `freshet streams inspect` puts facts on a terminal of 80 columns.

Ids and dead letters were written by strangers: whatever is not plain ASCII is shown escaped, and nothing is taken for
markup.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.days import shown
from contracts.samples import Sample
from contracts.shards import DeadLetter, Shard
from streams.inspection import PartitionFacts, ShardFacts
from streams.inspection_state import StateFacts

WIDTH = 80
_TIED = "\u00a0"  # a space at which no line ends
LABEL = 16
LETTER_CHARACTERS = 120


def print_chains(topic: str, facts: Sequence[PartitionFacts]) -> None:
    """Print a line for each partition, the sums of their counters, and what is damaged."""
    print(f"shards of {_plain(topic)}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in ("part", "shards", "next offset", "samples", "watermark (UTC)", "digest"):
        table.add_column(column, justify="right", no_wrap=True)
    read, emitted = Counter[str](), Counter[str]()
    for fact in facts:
        numbers = (f"{number:,}" for number in (fact.partition, fact.shards, fact.next_offset, fact.samples))
        table.add_row(*numbers, _time(fact.watermark), "DAMAGED" if fact.fault else fact.digest[:8] or "-")
        read.update(fact.read)
        emitted.update(fact.emitted)
    Console(highlight=False, markup=False).print(table)
    print_counts("records read", read)
    print_counts("samples emitted", emitted)
    for fact in facts:
        if fact.lost:
            _line("lost", f"partition {fact.partition}: {fact.lost} manifests admit lost records (kind lost)")
    for fact in facts:
        if fact.fault:
            _line("DAMAGED", f"partition {fact.partition}: {fact.fault}")
    if all(fact.verified for fact in facts):
        _line("verified", "contiguity, counters and every digest")


def print_counts(label: str, counts: Mapping[str, int]) -> None:
    """Print a label, the total, and its parts."""
    parts = ", ".join(f"{_plain(name)}{_TIED}{n:,}" for name, n in sorted(counts.items()))
    text = textwrap.fill(f"{sum(counts.values()):,}: {parts}", WIDTH - LABEL - 1, break_long_words=False)
    _line(label, text.replace(_TIED, " ").replace("\n", "\n" + " " * (LABEL + 1)))


def print_shard(topic: str, partition: int, facts: ShardFacts) -> None:
    """Print one shard in words."""
    body = facts.manifest
    print(f"shard {facts.number} of partition {partition} of {_plain(topic)}")
    _line("DAMAGED", facts.fault) if facts.fault else _line("whole", "every digest proved")
    if body.kind == "lost":
        _line("kind", f"LOST: records were given up, none of them was read. Reason: {_plain(body.reason)}")
    _line("log", f"{_plain(body.topic)}, id {_plain(body.topic_id)}, {body.partitions} partitions")
    _line("offsets", f"{body.first_offset:,} up to {body.next_offset:,}, not included: {body.records:,} records")
    _line("ordinals", f"{body.first_ordinal:,} up to {body.next_ordinal:,}, not included")
    _line("watermark", f"{_time(body.watermark)} UTC at its end")
    if facts.first_samples:
        _line("event times", f"{shown(body.first_event_time)} to {shown(body.last_event_time)} UTC")
    print_counts("records read", body.read)
    print_counts("samples emitted", body.emitted)
    _line("rebuild", _rebuild(body))
    _line("digest", facts.digest)
    _line("parent", facts.parent or "none: it is the first of its chain")
    for file in facts.files:
        _line("file", f"{_plain(file.name)}  {file.size:,} bytes")
    _print_samples("first samples", facts.first_samples)
    _print_samples("last samples", facts.last_samples)
    print_dead_letters(facts.dead_letters)


def print_dead_letters(letters: Sequence[DeadLetter]) -> None:
    """Print dead letters, each with the beginning of its value."""
    for letter in letters:
        where = f"{_plain(letter.topic)}/{letter.partition}/{letter.offset}"
        _line("dead letter", f"{where}  {_plain(letter.reason)}: {_plain(letter.detail)}")
        print(f"    {_plain(letter.value[:LETTER_CHARACTERS])}")


def print_state(topic: str, facts: StateFacts) -> None:
    """Print what a state DB holds, in words."""
    print(f"state of partition {facts.partition} of {_plain(topic)}: {facts.path}")
    if facts.fault:
        _line("DAMAGED", f"{facts.fault}\n  A worker drops it and rebuilds it from the log; deleting it does no harm.")
    else:
        _line("agrees", facts.agrees)
    _line("at", f"shard {facts.number:,}, {facts.at[:16] or 'no position'}; head of the chain: {facts.head:,}")
    _line("watermark", f"{_time(facts.watermark)} UTC; {facts.marks} marks")
    if facts.rebuild_offset >= 0:
        _line("rebuild", f"from offset {facts.rebuild_offset:,}")
    for name, entries in facts.entries.items():
        tiers = ", ".join(f"{generation} {count:,}" for generation, count in entries.generations.items())
        by = f" (by generation: {_plain(tiers)})" if tiers else ""
        _line(name, f"{entries.count:,}, {entries.bytes:,} bytes{by}")
    for spare in facts.spare:
        _line("spare folder", f"{spare}  begun while another process held the state")


def _rebuild(body: Shard) -> str:
    clock = f", watermark {_time(body.rebuild.watermark)}" if body.rebuild.watermark >= 0 else ""
    detector = f", detector {msgspec.json.encode(body.rebuild.detector).decode()}" if body.rebuild.detector else ""
    return f"from offset {body.rebuild.offset:,}{clock}{_plain(detector)}"


def _print_samples(label: str, found: Sequence[Sample]) -> None:
    for sample in found:
        request = f", request's context, {len(sample.hard_negatives)} hard negatives" if sample.hard_negatives else ""
        who = f"user {_plain(sample.user_id)} item {_plain(sample.item_id)}"
        at = f"at {shown(sample.event_time)} from offset {sample.source.offset:,}"
        _line(label, f"{sample.ordinal:,}  {who}  {at}  {sample.joined}{request}")


def _line(label: str, text: str) -> None:
    print(f"{label:<{LABEL}} {text}")


def _plain(text: str) -> str:
    """Return text with everything but printable ASCII escaped."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


def _time(milliseconds: int) -> str:
    return shown(milliseconds) if milliseconds >= 0 else "none yet"
