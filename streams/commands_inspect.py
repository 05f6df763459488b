"""`freshet streams inspect`: what lies on disk of a topic. Arguments to frozen values, then look, then print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contracts import command_line, shards
from contracts.errors import MissingInput
from contracts.layout import Layout
from streams import inspection, inspection_state, inspection_text
from streams.inspection import PartitionFacts
from streams.settings import StreamsSettings

DAMAGED = 1


def inspect(argv: Sequence[str]) -> int:
    """`freshet streams inspect`."""
    parser = _parser()
    asked = parser.parse_args(argv)
    _refuse(parser, asked)
    topic = asked.topic or StreamsSettings.load().topic
    layout = command_line.layout(asked)
    if asked.state:
        return _state(layout, topic, asked)
    if asked.shard:
        return _shard(layout, topic, asked)
    return _chains(layout, topic, asked)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(
        "streams inspect",
        "Look at what lies on disk of a topic: its chains of shards, one shard, or the state of its joiners.\n\n"
        "Reads only, also beside running workers, and needs no broker.",
        "exit code: 0 fine; 1 damaged: all partitions are looked at first; 2 nothing there, or wrong usage\n"
        "--json: docs/operations.md has the keys",
    )
    parser.add_argument("--topic", help="topic of the events (default: setting `topic`)")
    parser.add_argument("--partition", type=_whole, metavar="P", help="only this partition")
    parser.add_argument("--verify", action="store_true", help="prove contiguity, counters and every digest")
    parser.add_argument("--shard", type=command_line.positive, metavar="N", help="look at shard N of --partition")
    parser.add_argument(
        "--samples", type=command_line.positive, metavar="N", help="with --shard: its first and last N samples (1)"
    )
    parser.add_argument("--state", action="store_true", help="look at the state of the joiners instead of the shards")
    parser.add_argument(
        "--dead-letters", type=_whole, default=0, metavar="N", help="also the newest N dead letters of each partition"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def _refuse(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    """Refuse what makes no sense together; ends the process with exit code 2."""
    if asked.shard and asked.partition is None:
        parser.error("--shard needs --partition")
    if asked.samples and not asked.shard:
        parser.error("--samples needs --shard")
    if asked.state and (asked.shard or asked.verify or asked.dead_letters):
        parser.error("--state goes with --partition and --json alone")
    if asked.shard and (asked.verify or asked.dead_letters):
        parser.error("--shard goes with --partition, --samples and --json alone: it is always proved whole")
    if asked.dead_letters and asked.json:
        parser.error("--dead-letters prints no JSON: --shard N --json has those of a shard")


def _chains(layout: Layout, topic: str, asked: argparse.Namespace) -> int:
    found = _chosen(shards.partitions(layout, topic), asked.partition)
    if not found:
        raise MissingInput(
            f"no shards of {_what(topic, asked.partition)} under {layout.root}",
            hint="Start a worker (`freshet streams worker`), fold a log (`freshet streams replay`), or name --root.",
        )
    facts = _examined(layout, topic, found, asked.verify)
    if asked.json:
        _print_json(facts)
    else:
        inspection_text.print_chains(topic, facts)
        _print_dead_letters(layout, topic, [fact for fact in facts if not fact.fault], asked.dead_letters)
    return DAMAGED if any(fact.fault for fact in facts) else 0


def _examined(layout: Layout, topic: str, found: list[int], verify: bool) -> list[PartitionFacts]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (verify and console.is_terminal)) as bar:
        total = sum(shards.chain(layout, topic, partition).head_number() for partition in found) if verify else None
        task = bar.add_task("shards proved", total=total)
        return [
            inspection.examined(layout, topic, partition, verify, lambda count: bar.advance(task, count))
            for partition in found
        ]


def _print_dead_letters(layout: Layout, topic: str, facts: list[PartitionFacts], newest: int) -> None:
    for fact in facts if newest else ():
        inspection_text.print_dead_letters(inspection.dead_letters(layout, topic, fact.partition, newest))


def _shard(layout: Layout, topic: str, asked: argparse.Namespace) -> int:
    facts = inspection.shard_facts(layout, topic, asked.partition, asked.shard, asked.samples or 1)
    if asked.json:
        _print_json([facts])
    else:
        inspection_text.print_shard(topic, asked.partition, facts)
    return DAMAGED if facts.fault else 0


def _state(layout: Layout, topic: str, asked: argparse.Namespace) -> int:
    found = _chosen(inspection_state.partitions(layout, topic), asked.partition)
    if not found:
        raise MissingInput(
            f"no state of {_what(topic, asked.partition)} under {layout.root}",
            hint="A worker on this machine makes it. It is a cache: without one the state is rebuilt from the log.",
        )
    facts = [inspection_state.state_facts(layout, topic, partition) for partition in found]
    if asked.json:
        _print_json(facts)
    else:
        for fact in facts:
            inspection_text.print_state(topic, fact)
    return DAMAGED if any(fact.fault for fact in facts) else 0


def _chosen(found: list[int], partition: int | None) -> list[int]:
    return found if partition is None else [number for number in found if number == partition]


def _what(topic: str, partition: int | None) -> str:
    return f"topic {topic!r}" if partition is None else f"partition {partition} of topic {topic!r}"


def _print_json(values: Sequence[msgspec.Struct]) -> None:
    for value in values:
        print(msgspec.json.encode(value).decode())
