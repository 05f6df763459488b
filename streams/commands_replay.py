"""`freshet streams replay`: backfills days of a log into a run folder of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from contracts import command_line, shards
from contracts.days import bounds
from contracts.layout import Layout
from streams.commands import partition_facts, print_counts
from streams.replay import Replay, Rules, log_topic
from streams.settings import StreamsSettings
from streams.sources.open import open_source
from streams.sources.options import SourceOptions, add_source_arguments, source_options
from streams.sources.source import Source, counted, on_days

PARTITIONS = 8


@dataclass(frozen=True)
class Job:
    """What to replay, and where to. `root` None: a folder of its own under var/replay."""

    source: SourceOptions
    days: tuple[str, ...]
    root: Path | None
    topic: str
    partitions: int


def replay(argv: Sequence[str]) -> int:
    """`freshet streams replay`."""
    job = _job(argv)
    settings = StreamsSettings.load()
    whole = open_source(job.source)
    for day in job.days:
        bounds(day, whole.day_zone)  # refuses what is no day before anything is read
    events: Counter[str] = Counter()
    source = counted(on_days(whole, frozenset(job.days)), events)
    layout = Layout(job.root or Path("var/replay") / "-".join([whole.name, *job.days]))
    tick_ms = settings.tick_seconds * 1000
    topic = log_topic(source, job.topic, job.partitions, tick_ms)
    events.clear()
    fold = Replay(layout, topic, Rules(settings.windows, settings.rotation))
    try:
        _fold(fold, source, tick_ms, events)
    finally:
        fold.close()
    _print_result(Console(), layout, job, events)
    return 0


def _fold(fold: Replay, source: Source, tick_ms: int, events: Counter[str]) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,} events"),
    )
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(source.name, total=source.total)
        records = source.records(fold.topic.partitions, tick_ms)
        fold.fold(records, lambda count: bar.update(task, completed=events.total()))
        bar.update(task, completed=events.total(), total=events.total())


def _job(argv: Sequence[str]) -> Job:
    parser = command_line.parser(
        "streams replay",
        "Fold a click log into shards, without Kafka, through the code of the live worker.\n\n"
        "Effectively-once: interrupted or run again, it goes on where the shards end. Live and replay give the same\n"
        "samples, but for their source.",
        "examples:\n"
        "  freshet streams replay --data clicks/ --format globo --day 2017-10-05\n"
        "  freshet streams replay --seed 7 --root var/backfill",
        root=None,
        shown="var/replay/LOG-DAY",
    )
    add_source_arguments(parser)
    what = parser.add_argument_group("what and where")
    what.add_argument("--day", nargs="+", action="extend", default=[], metavar="YYYY-MM-DD", help="only these days")
    what.add_argument("--topic", default="events", help="name of the topic in the run folder (default: %(default)s)")
    what.add_argument("--partitions", type=command_line.positive, default=PARTITIONS, help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    return Job(source_options(arguments), tuple(arguments.day), arguments.root, arguments.topic, arguments.partitions)


def _print_result(console: Console, layout: Layout, job: Job, events: Counter[str]) -> None:
    read: Counter[str] = Counter()
    emitted: Counter[str] = Counter()
    table = Table(title=f"replayed into {layout.root}", title_justify="left")
    for column in ("partition", "shards", "records", "samples", "digest of the samples"):
        table.add_column(column, justify="left" if column.startswith("digest") else "right")
    digests: dict[int, str] = {}
    for partition in range(job.partitions):
        facts = partition_facts(layout, job.topic, partition)
        read.update(facts.read)
        emitted.update(facts.emitted)
        digests[partition] = facts.digest
        numbers = (partition, facts.shards, sum(facts.read.values()), facts.samples)
        table.add_row(*(f"{number:,}" for number in numbers), facts.digest[:16])
    console.print(table)
    print_counts("the log held", {f"{kind}s": number for kind, number in events.items()})
    print_counts("records read", read)
    print_counts("samples emitted", emitted)
    print(f"{'digest of all':<16} {shards.combined(digests)}")
    print(f"{'look closer':<16} .venv/bin/freshet streams inspect --root {layout.root} --topic {job.topic} --verify")
