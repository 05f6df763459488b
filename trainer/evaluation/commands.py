"""`freshet evaluate`: parse, fold the log into shards, run the protocol, print and write what came out."""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import command_line, days, durable
from contracts.layout import Layout

if TYPE_CHECKING:
    from contracts.bases import OpenBase
    from trainer.evaluation.protocol import EvaluationPlan
    from trainer.evaluation.results import Evaluation
    from trainer.settings import TrainerSettings

UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}
SHOWN = ("all", "active", "active_new")


@dataclass(frozen=True)
class EvaluateArguments:
    """What `freshet evaluate` was asked for; `log` are the words for `freshet streams replay`."""

    layout: Layout
    topic: str
    log: tuple[str, ...]
    base: str
    test: str
    imported: str
    zone: str | None
    interval_ms: int
    partitions: int
    seeds: int
    quick: bool
    items: Path | None
    json: Path | None
    report: Path | None


def parse_evaluate(argv: Sequence[str]) -> EvaluateArguments:
    """Parse the arguments of `evaluate`; what it does not know belongs to the log."""
    made = command_line.parser(
        "evaluate",
        "Judge the online update, its controls and its peers on a day of a log that none of them has seen.",
        "Which log: the options of `freshet streams replay` (--data, --format, --columns, ...). Without them the\n"
        "shards of --root are judged; without --root too, a synthetic log. Everything is kept: the same command goes\n"
        "on where it was.\n"
        "docs/evaluation.md says how it is judged and what the figures mean.",
        root=None,
        shown="var/evaluate/LOG",
    )
    _add_bases(made)
    made.add_argument("--interval", type=duration, default=1_800_000, metavar="30m", help="publish so often (30m)")
    made.add_argument("--partitions", type=command_line.positive, default=1, help="fold the day by so many (1)")
    made.add_argument("--seeds", type=command_line.positive, default=3, help="how many seeds, from 1 on (3)")
    made.add_argument("--quick", action="store_true", help="a look in minutes: one seed, no peers that take long")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    made.add_argument("--report", type=Path, metavar="FILE", help="write the page there (default: in the run folder)")
    given, log = made.parse_known_args(argv)
    root = given.root or Path("var/evaluate") / log_name(log)
    return EvaluateArguments(
        Layout(root),
        given.topic,
        tuple(log) if log or not given.root else (),
        given.base,
        given.test,
        given.imported,
        given.day_zone,
        given.interval,
        given.partitions,
        1 if given.quick else given.seeds,
        given.quick,
        given.items,
        given.json,
        given.report,
    )


def _add_bases(made: argparse.ArgumentParser) -> None:
    """Add the options that say what is judged: days of the log, or an imported base, and what its items are about."""
    add_days(made).add_argument(
        "--imported", default="", metavar="ID", help="an imported base, judged on the day after its cut"
    )
    made.add_argument(
        "--items", type=Path, metavar="FILE", help="what items are about, as `freshet trainer retrain` takes it"
    )


def add_days(made: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Add the options that say what of the log is judged; return the group of those that say on what base."""
    made.add_argument("--topic", default="events", help="whose shards to read and write (default: events)")
    base = made.add_mutually_exclusive_group()
    base.add_argument("--base", default="", metavar="FIRST..LAST", help="days of the base (default: 7 before --test)")
    made.add_argument(
        "--test",
        default="",
        metavar="DAY",
        help="the day that is judged (default: the last one), or a share like 30%%: the last part of the log by "
        "position (default of a log without two days)",
    )
    made.add_argument("--day-zone", help="time zone of the days, e.g. America/Sao_Paulo (default: the setting)")
    return base


def evaluate(argv: Sequence[str]) -> int:
    """Run `freshet evaluate`."""
    arguments = parse_evaluate(argv)
    if code := replayed(arguments.layout, arguments.topic, arguments.log):
        return code
    from trainer.evaluation import imported, report, results
    from trainer.evaluation.protocol import run_seed
    from trainer.evaluation.summary import summarise
    from trainer.progress import DayBars

    plan, base = _planned(arguments)
    run = partial(imported.run_seed, base=base) if base else run_seed
    with DayBars() as bars:
        runs = [run(plan, seed, progress=bars.advance) for seed in plan.seeds]
    found = summarise(plan, arguments.layout.root.name, runs)
    date = days.last_date(plan.test_day, plan.settings.day_zone)
    page = arguments.report or arguments.layout.root / f"evaluation-{date}.html"
    for path, data in ((arguments.json, results.encode(found)), (page, report.page(found).encode())):
        if path:
            durable.make_directory(path.parent)
            durable.replace_file(path, data)
    _print(found, report.headline(found), page)
    for note in _strange_days(runs[0].base, plan.settings):
        print(note, file=sys.stderr)
    return 0


def _planned(arguments: EvaluateArguments) -> tuple[EvaluationPlan, OpenBase | None]:
    """Return what is judged, and the imported base that is, if it is one."""
    from contracts.bases import BaseStore
    from contracts.catalogue import read_catalogue
    from trainer.evaluation import imported
    from trainer.evaluation.protocol import EvaluationPlan
    from trainer.evaluation.split import split
    from trainer.training_days import open_topic

    settings = settings_for(arguments.topic, arguments.zone, arguments.interval_ms)
    base = BaseStore(arguments.layout).open(arguments.imported) if arguments.imported else None
    if base:
        parts = imported.parts(base, (arguments.topic, settings.day_zone, arguments.test))
    else:
        topic, block_ms = open_topic(arguments.layout, arguments.topic), settings.online.block_ms
        parts = split(topic, settings.day_zone, (arguments.base, arguments.test), block_ms)
    plan = EvaluationPlan(
        arguments.layout,
        arguments.topic,
        parts.base,
        parts.test,
        arguments.partitions,
        tuple(range(1, arguments.seeds + 1)),
        arguments.quick,
        settings,
        read_catalogue(arguments.items) if arguments.items else None,
    )
    return plan, base


def _strange_days(base: OpenBase, settings: TrainerSettings) -> Iterator[str]:
    from trainer.day_statistics import of_base, unlike

    found = of_base(base)
    for at, day in enumerate(found):
        if reasons := unlike(day, found[:at], settings.day):
            yield f"note: a nightly retrain would refuse {day.day}: {'; '.join(reasons)}"


def replayed(layout: Layout, topic: str, log: Sequence[str]) -> int:
    """Fold a log into shards under `layout`, unless none is named and there are shards; return the exit code."""
    if not log and layout.shards(topic, 0).exists():
        return 0
    words = ["--root", str(layout.root), "--topic", topic, "--partitions", "1", *log]
    command = [sys.executable, "-m", "freshet", "streams", "replay", *words]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def settings_for(topic: str, zone: str | None, interval_ms: int) -> TrainerSettings:
    """Return the settings; blocks are shortened where an interval would not be whole blocks."""
    from trainer.settings import TrainerSettings

    given = {"day_zone": zone} if zone else {}
    settings = TrainerSettings.load(**given, topic=topic)
    block_ms = math.gcd(interval_ms, settings.online.block_ms)
    online = settings.online.model_copy(update={"block_ms": block_ms})
    return settings.model_copy(update={"publish_interval_ms": interval_ms, "online": online})


def _print(found: Evaluation, sentence: str, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        title=f"recall over clicks on known items, {days.in_words(found.judged_day, found.day_zone)}",
        title_justify="left",
    )
    table.add_column("arm")
    for name in (*(f"@20 {name}".replace("_", " ") for name in SHOWN), "@100 active", "samples/s"):
        table.add_column(name, justify="right")
    for name, arm in sorted(found.arms.items(), key=lambda each: -each[1].slices["all"].recall20.mean):
        recalls = [f"{arm.slices[part].recall20.mean:.4f}" for part in SHOWN]
        rate = f"{arm.samples_per_s:,.0f}" if arm.samples_per_s else "–"
        table.add_row(name.replace("_", " "), *recalls, f"{arm.slices['active'].recall100.mean:.4f}", rate)
    console.print(table)
    console.print(sentence, highlight=False)
    console.print(f"the page         {page}", highlight=False, soft_wrap=True)


def log_name(log: Sequence[str]) -> str:
    """Return a name for a log: that of its file or folder, and a digest of all that was said of it."""
    if not log:
        return "synthetic"
    data = log[log.index("--data") + 1] if "--data" in log[:-1] else "synthetic"
    return f"{Path(data).name}-{hashlib.sha256(repr(tuple(log)).encode()).hexdigest()[:8]}"


def duration(text: str) -> int:
    """Argument type: a time like 30m, 90s or 1h, in ms."""
    match = re.fullmatch(r"(\d+)([smh])", text)
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 30m, 90s or 1h")
    return int(match[1]) * UNITS_MS[match[2]]
