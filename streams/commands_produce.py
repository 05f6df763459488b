"""`freshet produce`: fills a topic from a click log."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from contracts import command_line, durable
from contracts.days import bounds
from contracts.errors import UsageError
from contracts.events import Item, encode
from streams.access import Access
from streams.log_facts import must_change, notes, read_facts
from streams.log_facts_text import print_facts
from streams.produce import COMPRESSIONS, Held, Producer, ensure_topic, held, missing_from
from streams.settings import StreamsSettings
from streams.sources.open import open_source
from streams.sources.options import SourceOptions, add_source_arguments, source_options
from streams.sources.source import Source, counted, limited, on_days, with_items

_PROGRESS_EVENTS = 2000


@dataclass(frozen=True)
class Check:
    """A look at the log alone: as JSON or in words; `items`: the file to write its item events into."""

    json: bool
    items: Path | None


@dataclass(frozen=True)
class Job:
    """What to produce, from where, to where."""

    source: SourceOptions
    days: frozenset[str]
    limit: int | None
    access: Access
    topic: str
    partitions: int | None
    compression: str
    tick_ms: int
    closing_ms: int
    append: bool
    check: Check | None


def produce(argv: Sequence[str]) -> int:
    """`freshet produce`."""
    job = _job(_parser().parse_args(argv))
    counts: Counter[str] = Counter()
    whole = _chosen(open_source(job.source), job)
    if job.check:
        return _check(whole, job.check)
    source = counted(whole, counts)
    topic = ensure_topic(job.access, job.topic, job.partitions)
    before = held(job.access, topic)
    records = source.records(topic.partitions, job.tick_ms, job.closing_ms)
    with Producer(job.access, job.topic, job.compression) as producer, _bar() as bar:
        task = bar.add_task(f"{source.name} → {job.topic}", total=source.total)
        sent = 0
        for record in records if job.append else missing_from(before, records):
            sent += producer.send((record,))
            if sent % _PROGRESS_EVENTS == 0:
                bar.update(task, completed=counts.total())
        after = before.next_offsets | producer.flush()
        bar.update(task, completed=counts.total(), total=counts.total())
    _print_result(before, after, counts)
    return 0


def _check(source: Source, check: Check) -> int:
    """Say what the log holds; 2: a person has to change something before it can be used."""
    items: dict[str, Item] = {}
    if check.items is not None:
        source = with_items(source, items)
    with _bar() as bar:
        task = bar.add_task(f"reading {source.name}", total=source.total)

        def progress(count: int) -> None:
            if count % _PROGRESS_EVENTS == 0:
                bar.update(task, completed=count)

        facts = read_facts(source, progress)
        events = sum(facts.events.values()) + sum(facts.rejected.values())
        bar.update(task, completed=events, total=events)
    must, told = must_change(facts, source.sort_hint), notes(facts)
    if check.items is not None and not must:
        _write_items(check.items, items)
    if check.json:
        verdict = {"usable": not must, "must_change": must, "notes": told}
        print(msgspec.json.encode(msgspec.to_builtins(facts) | verdict).decode())
    else:
        print_facts(facts, must, told)
    return 2 if must else 0


def _write_items(path: Path, items: dict[str, Item]) -> None:
    try:
        durable.replace_file(path, b"".join(encode(item) + b"\n" for item in items.values()))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", hint="Check --items-to.") from None


def _parser() -> argparse.ArgumentParser:
    parser = command_line.bare_parser(
        "produce",
        "Fill a topic from a click log: partition by user, ticks from the log's own time.\n\n"
        "At-least-once, in order per partition (acks=all, idempotent producer). Interrupted or run again, it goes on\n"
        "where the topic ends, so that each record is there once, as long as nobody else writes to the topic.",
        "examples:\n"
        "  freshet produce --data clicks_2017-10-01.csv.gz --format globo\n"
        "  freshet produce --data log.csv --columns user=uid,item=article,time=ts --time-unit s\n"
        "  freshet produce --check --data MINDsmall_train/\n"
        "  freshet produce --seed 7 --mix 0.2 --topic tastes\n\n"
        "exit codes: 0 done, or a log that can be used; 2 a person has to change something, which is said",
    )
    add_source_arguments(parser)
    to = parser.add_argument_group("the topic")
    to.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap` of streams)")
    to.add_argument("--topic", help="topic, made if absent (default: setting `topic` of streams)")
    to.add_argument("--partitions", type=command_line.positive, metavar="N", help="of a new topic (default: 8)")
    to.add_argument("--compression", choices=COMPRESSIONS, default=COMPRESSIONS[0], help="(default: %(default)s)")
    to.add_argument("--append", action="store_true", help="write the whole log after what the topic holds")
    look = parser.add_argument_group("before anything is sent")
    look.add_argument("--check", action="store_true", help="only read the log, and say what it holds; needs no broker")
    look.add_argument("--json", action="store_true", help="say it as JSON")
    look.add_argument(
        "--items-to",
        type=Path,
        metavar="FILE",
        help="write its item events there, for --items of trainer and publisher",
    )
    part = parser.add_argument_group("which part of the log")
    part.add_argument("--day", nargs="+", action="extend", default=[], metavar="YYYY-MM-DD", help="only these days")
    part.add_argument("--limit", type=command_line.positive, metavar="N", help="only the first N events")
    part.add_argument(
        "--closing-minutes",
        type=int,
        default=60,
        metavar="M",
        help="go on with ticks after the end, to close what is open (default: 60; 0 if more of the log will follow)",
    )
    return parser


def _job(arguments: argparse.Namespace) -> Job:
    settings = StreamsSettings.load(**({"bootstrap": arguments.bootstrap} if arguments.bootstrap else {}))
    if arguments.closing_minutes < 0:
        raise UsageError("--closing-minutes is negative", hint="Say 0 to close nothing.")
    for name, given in (("--json", arguments.json), ("--items-to", arguments.items_to)):
        if given and not arguments.check:
            raise UsageError(f"{name} goes with --check", hint="Say both, or neither.")
    return Job(
        source=source_options(arguments),
        days=frozenset(arguments.day),
        limit=arguments.limit,
        access=settings.access,
        topic=arguments.topic or settings.topic,
        partitions=arguments.partitions,
        compression=arguments.compression,
        tick_ms=settings.tick_seconds * 1000,
        closing_ms=arguments.closing_minutes * 60_000,
        append=arguments.append,
        check=Check(arguments.json, arguments.items_to) if arguments.check else None,
    )


def _chosen(source: Source, job: Job) -> Source:
    for day in job.days:
        bounds(day, source.day_zone)  # refuses what is no day before anything is sent
    part = on_days(source, job.days)
    return part if job.limit is None else limited(part, job.limit)


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} events"),
    )
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))


def _print_result(before: Held, after: dict[int, int], counts: Counter[str]) -> None:
    table = Table(title=f"topic {before.topic.name}, id {before.topic.topic_id}", title_justify="left")
    for column in ("partition", "records before", "records sent", "next offset"):
        table.add_column(column, justify="right")
    for partition, end in sorted(after.items()):
        start = before.next_offsets[partition]
        table.add_row(*(f"{number:,}" for number in (partition, start, end - start, end)))
    sent = sum(after.values()) - sum(before.next_offsets.values())
    Console().print(table)
    print(f"{sent:,} records sent; the log held " + ", ".join(f"{n:,} {kind}s" for kind, n in sorted(counts.items())))
    if counts["bad_row"]:
        print("Bad rows travel too: the decoder refuses them by name, and they become dead letters.")
