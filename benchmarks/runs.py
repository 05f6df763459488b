"""Whole processes against a topic: our worker, and the peers, each in a process of its own."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.click_log import ClickLog
from benchmarks.results import REPOSITORY
from benchmarks.rounds import Say, told
from benchmarks.scratch import scratch_folder
from benchmarks.taken import Taken
from contracts import shards
from contracts.errors import FreshetError, MissingInput
from contracts.layout import Layout, manifest_name
from infra.kafka.choose import start_broker
from infra.processes import Program, ServerProcess
from streams.access import Access
from streams.log import LogRecord
from streams.produce import Producer, ensure_topic

PARTITIONS = 8
PATIENCE_S = 1800.0
WORKER = ("freshet", "streams", "worker")


@dataclass(frozen=True)
class Site:
    """A broker, and a folder where runs put what they write."""

    bootstrap: str
    folder: Path

    @property
    def access(self) -> Access:
        """The way to the broker."""
        return Access.plain(self.bootstrap)


@contextmanager
def site(say: Say) -> Iterator[Site]:
    """Start a broker, and stop it when the body ends. Raises `MissingServer` where none can be started."""
    with scratch_folder() as folder:
        broker = start_broker(say)
        try:
            yield Site(broker.bootstrap, folder)
        finally:
            broker.close()


def need(*packages: str) -> None:
    """Raise `MissingInput` where a package of the extra `bench` is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingInput(
                f"the peer {package} is not installed, and without it there is no figure",
                hint="`make bench` installs it; by hand: .venv/bin/pip install -e '.[bench]'",
            )


def fill(site: Site, topic: str, records: Iterator[LogRecord], count: int, say: Say) -> None:
    """Create a topic and send about `count` records, lz4."""
    say(f"filling topic {topic} with {count:,} records, lz4, {PARTITIONS} partitions")
    ensure_topic(site.access, topic, PARTITIONS)
    with Producer(site.access, topic, "lz4") as producer:
        producer.send(told(records, count, "sent", say))


def peer_rate(site: Site, module: str, topic: str, records: int) -> float:
    """Return the records/s of one run of a peer, from its first record to number `records`."""
    folder = new_folder(site, module)
    result = folder / "taken.json"
    words = ["-m", f"benchmarks.{module}", site.bootstrap, topic, str(records), str(result)]
    run(Program(f"The peer {module}", [sys.executable, *words], folder / "log", REPOSITORY), result.exists)
    return msgspec.json.decode(result.read_bytes(), type=Taken).rate


def our_rate(site: Site, topic: str, log: ClickLog) -> float:
    """Return the records/s of one run of the real worker process, with a run folder and a consumer group of its own.

    From its first commit, that of the warm-up clicks, to its last one.
    """
    folder = new_folder(site, "ours")
    layout = Layout(folder)
    run(worker(site, topic, folder, "worker"), lambda: arrived(layout, topic, log.end_ms()))
    done = committed(layout, topic)
    check_all_clicks(done, log)
    return done.records / (done.last_commit - done.first_commit)


def worker(site: Site, topic: str, folder: Path, name: str, module: Sequence[str] = WORKER) -> Program:
    """Return the program of one worker process; those with the same folder share a run folder and a consumer group.

    `module`: what to run with the worker's arguments, its own first ones with it.
    """
    words = ["-m", *module, "--bootstrap", site.bootstrap, "--topic", topic]
    words += ["--root", str(folder), "--name", name]
    group = {"FRESHET_STREAMS_GROUP": f"{topic}-{folder.name}"}
    return Program("The stream worker", [sys.executable, *words], folder / f"{name}.log", REPOSITORY, group)


def run(program: Program, done: Callable[[], bool]) -> None:
    """Run a process until `done`. Raises `ServerFailed`, with the end of its log, when that does not come true."""
    process = ServerProcess(program)
    try:
        process.start(done, PATIENCE_S)
    finally:
        process.kill()


def arrived(layout: Layout, topic: str, watermark: int) -> bool:
    """Whether every partition's newest shard has this watermark; looks no further than the first that has not."""
    heads = (shards.chain(layout, topic, partition).head() for partition in range(PARTITIONS))
    return all(head is not None and head.body.watermark >= watermark for head in heads)


@dataclass(frozen=True)
class Committed:
    """What is in committed shards but for the first of each chain, the warm-up; when the first and last commit were.

    Times are seconds since 1970, of the manifests' files.
    """

    records: int
    clicks: int
    first_commit: float
    last_commit: float


def committed(layout: Layout, topic: str) -> Committed:
    """Add up all chains of a topic, ticks left out."""
    records, clicks, times = 0, 0, list[float]()
    for partition in range(PARTITIONS):
        chain = shards.chain(layout, topic, partition)
        for entry in chain.entries():
            times.append((chain.directory / manifest_name(entry.number)).stat().st_mtime_ns / 1e9)
            if entry.number > 1:
                read = entry.body.read
                records += sum(count for outcome, count in read.items() if outcome != "ticks")
                clicks += sum(entry.body.emitted.values())
    return Committed(records, clicks, min(times), max(times))


def check_all_clicks(done: Committed, log: ClickLog) -> None:
    """Raise `FreshetError` where shards do not hold exactly what was sent."""
    if (done.records, done.clicks) != (log.count, log.clicks):
        raise FreshetError(
            f"{done.records} records with {done.clicks} samples are in shards; {log.count} with {log.clicks} were sent"
        )


def new_folder(site: Site, name: str) -> Path:
    """Make a folder for one run."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=site.folder))
