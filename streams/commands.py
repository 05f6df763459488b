"""The commands of the streams stage: arguments to frozen values, then one call."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from contracts import command_line, shards
from contracts.days import shown
from contracts.errors import MissingInput
from contracts.layout import Layout
from streams.settings import StreamsSettings


def worker(argv: Sequence[str]) -> int:
    """`freshet streams worker`."""
    parser = command_line.parser(
        "streams worker",
        "Turn the events of a topic into committed shards, until SIGTERM or Ctrl-C.\n\n"
        "Start as many as there are cores, with the same --root: Kafka deals the partitions out. A worker that is\n"
        "killed loses nothing: the next owner goes on from the chain. Effectively-once from topic to shards.",
        "settings: infra/config/streams.toml, each key also as FRESHET_STREAMS_<KEY>",
    )
    parser.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap`)")
    parser.add_argument("--topic", help="topic of the events (default: setting `topic`)")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="name of this worker process")
    arguments = parser.parse_args(argv)
    settings = StreamsSettings.load(**_given(bootstrap=arguments.bootstrap, topic=arguments.topic))
    from streams.app import run_worker  # faust takes a second to import: not for --help

    run_worker(settings, command_line.layout(arguments), arguments.name)
    return 0


def inspect(argv: Sequence[str]) -> int:
    """`freshet streams inspect`."""
    parser = command_line.parser(
        "streams inspect",
        "Look at the shards of a topic: ranges, counters, dead letters, digests.",
        "exit code: 0 fine, 1 damaged (with --verify), 2 nothing there",
    )
    parser.add_argument("--topic", help="topic of the events (default: setting `topic`)")
    parser.add_argument("--verify", action="store_true", help="prove contiguity, counters and every digest")
    parser.add_argument(
        "--dead-letters",
        type=int,
        default=0,
        metavar="N",
        help="also print the newest N dead letters of each partition",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a partition")
    arguments = parser.parse_args(argv)
    topic = arguments.topic or StreamsSettings.load().topic
    layout = command_line.layout(arguments)
    facts = [partition_facts(layout, topic, partition, arguments.verify) for partition in _partitions(layout, topic)]
    if arguments.json:
        print("\n".join(msgspec.json.encode(fact).decode() for fact in facts))
    else:
        _print_facts(topic, facts)
        _print_dead_letters(layout, topic, arguments.dead_letters)
    return 0


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _partitions(layout: Layout, topic: str) -> list[int]:
    found = shards.partitions(layout, topic)
    if not found:
        raise MissingInput(
            f"no shards of topic {topic!r} under {layout.root}",
            hint="Start a worker (`freshet streams worker`), fold a log (`freshet streams replay`), or name --root.",
        )
    return found


class PartitionFacts(msgspec.Struct):
    """What `inspect` and `replay` tell of one partition; the JSON form has these keys."""

    partition: int
    shards: int = 0
    next_offset: int = 0
    samples: int = 0
    watermark: int = -1
    read: dict[str, int] = {}
    emitted: dict[str, int] = {}
    digest: str = ""
    verified: bool = False


def partition_facts(layout: Layout, topic: str, partition: int, verify: bool = False) -> PartitionFacts:
    """Add up the manifests of one partition, and digest its samples; `verify` proves the chain first."""
    chain = shards.chain(layout, topic, partition)
    if verify:
        shards.verify(chain)
    facts = PartitionFacts(partition, digest=shards.samples_digest(chain), verified=verify)
    for entry in chain.entries():
        body = entry.body
        facts.shards, facts.watermark = entry.number, body.watermark
        facts.next_offset, facts.samples = body.next_offset, body.next_ordinal
        for total, counters in ((facts.read, body.read), (facts.emitted, body.emitted)):
            for outcome, count in counters.items():
                total[outcome] = total.get(outcome, 0) + count
    return facts


def _print_facts(topic: str, facts: list[PartitionFacts]) -> None:
    table = Table(title=f"shards of {topic}", title_justify="left")
    for column in ("partition", "shards", "next offset", "samples", "watermark (UTC)", "digest"):
        table.add_column(column, justify="right")
    read: Counter[str] = Counter()
    emitted: Counter[str] = Counter()
    for fact in facts:
        numbers = (f"{number:,}" for number in (fact.partition, fact.shards, fact.next_offset, fact.samples))
        table.add_row(*numbers, _time(fact.watermark), fact.digest[:12])
        read.update(fact.read)
        emitted.update(fact.emitted)
    Console().print(table)
    print_counts("records read", read)
    print_counts("samples emitted", emitted)
    if all(fact.verified for fact in facts):
        print("verified         contiguity, counters and every digest")


def print_counts(label: str, counts: Mapping[str, int]) -> None:
    """Print a label, the total, and its parts, on one line."""
    print(f"{label:<16} {sum(counts.values()):,}: " + ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items())))


def _time(milliseconds: int) -> str:
    return shown(milliseconds) if milliseconds >= 0 else "none yet"


def _print_dead_letters(layout: Layout, topic: str, newest: int) -> None:
    for partition in _partitions(layout, topic) if newest else ():
        chain = shards.chain(layout, topic, partition)
        letters = [letter for entry in chain.entries() for letter in shards.read_dead_letters(chain, entry)]
        for letter in letters[-newest:]:
            print(f"{letter.topic}/{letter.partition}/{letter.offset}  {letter.reason}: {letter.detail}")
            print(f"    {letter.value[:120]!r}")
