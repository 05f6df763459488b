"""Headline figure: records/s of `make replay` of a day of clicks, against a plain Faust agent.

Ours is the whole command but for the start of Python: it reads the csv, makes the log's records with their ticks, folds
them into committed shards, digests the samples and prints. The plain agent decodes the same records out of a topic.
The day is a synthetic one, or the clicks that `FRESHET_BENCH_DATA` names: a daily file of Globo.com's, or a folder of
them, of which the largest is taken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.day_log import write_day
from benchmarks.figures import Comparison, Figure, amount, compared, this_machine
from benchmarks.results import REPOSITORY
from benchmarks.rounds import Say, interleaved
from benchmarks.runs import PARTITIONS, Site, fill, new_folder, peer_rate, run, site
from contracts import shards
from contracts.layout import Layout
from infra.processes import Program
from streams.log import TICK_MS
from streams.sources.globo import globo_files
from streams.sources.open import open_source
from streams.sources.options import SourceOptions

DATA_VARIABLE = "FRESHET_BENCH_DATA"
TOPIC = "events"
WHAT = Comparison("`make replay` of a day of clicks", "records/s", "plain Faust agent", must=10.0, aim=25.0)


@dataclass(frozen=True)
class Load:
    """How many clicks the synthetic day has, how many records the plain agent reads, and how often."""

    clicks: int
    plain_records: int
    rounds: int


FULL, QUICK = Load(200_000, 60_000, 5), Load(5_000, 3_000, 1)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure on a broker of its own, which the plain agent reads. Raises `MissingServer`, `MissingInput`."""
    load = QUICK if quick else FULL
    with site(say) as where:
        data, described = day_of_clicks(where.folder, load, os.environ.get(DATA_VARIABLE, ""))
        source = open_source(SourceOptions(data=data, format="globo"))
        say(f"the day: {described}")
        fill(where, "day", source.records(PARTITIONS, TICK_MS), source.total or 0, say)
        of_fold: list[float] = []
        sides: dict[str, Callable[[], float]] = {
            "ours": lambda: replay_rate(where, data, of_fold),
            WHAT.peer_name: lambda: peer_rate(where, "plain_agent", "day", load.plain_records),
        }
        found = interleaved(sides, load.rounds, say)
    return [compared(WHAT, found["ours"], found[WHAT.peer_name], this_machine(), _note(described, load, of_fold))]


def day_of_clicks(folder: Path, load: Load, named: str) -> tuple[Path, str]:
    """Return the file of a day's clicks and what to call it; a synthetic one is written into `folder`."""
    if named:
        return max(globo_files(Path(named)), key=lambda path: path.stat().st_size), "a day of Globo.com's clicks"
    path = folder / "clicks.csv.gz"
    write_day(path, load.clicks)
    return path, f"a synthetic day of {load.clicks:,} clicks"


def replay_rate(where: Site, data: Path, of_fold: list[float]) -> float:
    """Return the records/s of one replay into a new run folder; its records, ticks and all, are those of the topic.

    `of_fold` gets the seconds from the first commit to the last one.
    """
    folder = new_folder(where, "replay")
    layout, result = Layout(folder / "run"), folder / "seconds"
    words = ["-m", "benchmarks.timed_replay", str(result), "--data", str(data), "--format", "globo"]
    words += ["--root", str(layout.root), "--topic", TOPIC, "--partitions", str(PARTITIONS)]
    run(Program("The replay", [sys.executable, *words], folder / "log", REPOSITORY), result.exists)
    of_fold.append(_seconds_of_fold(layout))
    return _records(layout) / msgspec.json.decode(result.read_bytes(), type=float)


def _records(layout: Layout) -> int:
    chains = (shards.chain(layout, TOPIC, partition) for partition in range(PARTITIONS))
    return sum(entry.body.records for chain in chains for entry in chain.entries())


def _seconds_of_fold(layout: Layout) -> float:
    folders = (shards.chain(layout, TOPIC, partition).directory for partition in range(PARTITIONS))
    times = [path.stat().st_mtime_ns for folder in folders for path in folder.glob("*.json")]
    return (max(times) - min(times)) / 1e9


def _note(described: str, load: Load, of_fold: list[float]) -> str:
    return (
        f"Ours: {described}, csv, {PARTITIONS} partitions, the whole command but for the start of Python; from its "
        f"first commit to its last {amount(median(of_fold))} s. Both count ticks. The plain agent decodes "
        f"{load.plain_records:,} of the same records out of a topic, JSON, lz4, its rate being over its own count."
    )
