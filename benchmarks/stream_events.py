"""Headline figure: click events/s from a real Kafka through our agent to committed shards, against a plain Faust agent.

Ours is the `freshet streams worker` process: fetch, decode, join, encode, commit with its fsyncs. The plain agent is a
process too, reads the same topic and decodes the same values with the same decoder, and does nothing else. Neither
side's start counts: ours is timed from its first commit (of the warm-up clicks that the log begins with) to its last,
the plain agent from its first record on.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.click_log import ClickLog
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.plain_agent import Taken
from benchmarks.results import REPOSITORY
from benchmarks.rounds import Say, interleaved
from benchmarks.scratch import scratch_folder
from contracts import shards
from contracts.errors import FreshetError
from contracts.layout import Layout, manifest_name
from infra.kafka.choose import start_broker
from infra.processes import Program, ServerProcess
from streams.produce import Producer, ensure_topic

PARTITIONS = 8
EVENTS_PER_S = 10_000  # of the log's own time: shards rotate by their 4,096 samples, as under full load
PATIENCE_S = 300.0
WHAT = Comparison("click events from Kafka to committed shards, one process", "events/s", "plain Faust agent", 1.0)


@dataclass(frozen=True)
class Load:
    """How many clicks ours reads, how many records the plain agent reads of the same topic, and how often."""

    clicks: int
    plain_records: int
    rounds: int

    @property
    def log(self) -> ClickLog:
        """The log in the topic."""
        return ClickLog(self.clicks, self.clicks * 1000 // EVENTS_PER_S)


FULL, QUICK = Load(200_000, 40_000, 5), Load(20_000, 3_000, 1)


@dataclass(frozen=True)
class Bench:
    """A topic that holds the log, and a folder where runs put what they write."""

    bootstrap: str
    topic: str
    folder: Path
    load: Load


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure on a broker of its own. Raises `MissingServer` where none can be started."""
    load = QUICK if quick else FULL
    with scratch_folder() as folder:
        broker = start_broker(say)
        try:
            bench = Bench(broker.bootstrap, f"benchmark-{os.getpid()}", folder, load)
            say(f"filling a topic with {load.clicks:,} clicks, lz4, {PARTITIONS} partitions")
            fill(bench)
            numbers = itertools.count(1)
            sides: dict[str, Callable[[], float]] = {
                "ours": lambda: our_rate(bench, next(numbers)),
                "plain agent": lambda: plain_rate(bench, next(numbers)),
            }
            found = interleaved(sides, load.rounds, say)
        finally:
            broker.close()
    note = (
        f"Clicks alone, JSON, lz4, {PARTITIONS} partitions, context of two features, one event id each. Ours: "
        f"{load.clicks:,} clicks, from the first to the last commit, join and fsync included. The plain agent only "
        f"decodes, and reads {load.plain_records:,} records of the same topic, its rate being over its own count."
    )
    return [compared(WHAT, found["ours"], found["plain agent"], this_machine(), note)]


def fill(bench: Bench) -> None:
    """Create the topic and send the log."""
    ensure_topic(bench.bootstrap, bench.topic, PARTITIONS)
    with Producer(bench.bootstrap, bench.topic, "lz4") as producer:
        producer.send(bench.load.log.records(PARTITIONS))


def our_rate(bench: Bench, number: int) -> float:
    """Return the clicks/s of one run of the real worker process, with a run folder and a consumer group of its own."""
    layout = Layout(bench.folder / f"ours-{number}")
    words = ["-m", "freshet", "streams", "worker", "--bootstrap", bench.bootstrap, "--topic", bench.topic]
    words += ["--root", str(layout.root), "--name", "benchmark"]
    variables = {"FRESHET_STREAMS_GROUP": f"{bench.topic}-{number}"}
    program = Program("The stream worker", [sys.executable, *words], _log(bench, number), REPOSITORY, variables)
    end = bench.load.log.end_ms()
    _run(program, lambda: min(_watermarks(layout, bench.topic)) >= end)
    clicks, seconds = _committed(layout, bench.topic)
    if clicks != bench.load.clicks:
        raise FreshetError(f"{clicks} clicks are in shards, and {bench.load.clicks} were sent")
    return clicks / seconds


def plain_rate(bench: Bench, number: int) -> float:
    """Return the records/s of one run of the plain agent."""
    result = bench.folder / f"plain-{number}.json"
    words = ["-m", "benchmarks.plain_agent", bench.bootstrap, bench.topic, str(bench.load.plain_records), str(result)]
    _run(Program("The plain agent", [sys.executable, *words], _log(bench, number), REPOSITORY), result.exists)
    taken = msgspec.json.decode(result.read_bytes(), type=Taken)
    return taken.records / taken.seconds


def _run(program: Program, done: Callable[[], bool]) -> None:
    """Run a process until `done`. Raises `ServerFailed`, with the end of its log, when that does not come true."""
    process = ServerProcess(program)
    try:
        process.start(done, PATIENCE_S)
    finally:
        process.kill()


def _log(bench: Bench, number: int) -> Path:
    return bench.folder / f"run-{number}.log"


def _watermarks(layout: Layout, topic: str) -> list[int]:
    heads = (shards.chain(layout, topic, partition).head() for partition in range(PARTITIONS))
    return [head.body.watermark if head else -1 for head in heads]


def _committed(layout: Layout, topic: str) -> tuple[int, float]:
    """Return the clicks in committed shards but for the first of each chain, the warm-up, and the seconds they took.

    The seconds are those from the first commit of all to the last.
    """
    clicks, times = 0, list[int]()
    for partition in range(PARTITIONS):
        chain = shards.chain(layout, topic, partition)
        for entry in chain.entries():
            clicks += sum(entry.body.emitted.values()) if entry.number > 1 else 0
            times.append((chain.directory / manifest_name(entry.number)).stat().st_mtime_ns)
    return clicks, (max(times) - min(times)) / 1e9
