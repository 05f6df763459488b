"""Figures: what the commit of a shard of 4,096 samples takes, and what the other partitions do meanwhile.

A commit is timed as the writer itself tells of it: data file, state batch and manifest, each synced. Beside it, in
turn, the bare disk: a file of the same size written and synced, and its folder. For the rest a worker process runs on a
disk that is slow for one partition alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median, quantiles

from benchmarks.click_log import ClickLog
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.rounds import Say, interleaved
from benchmarks.runs import PARTITIONS, Site, arrived, fill, new_folder, run, site, worker
from contracts import shards
from contracts.durable import fsync_directory, write_file
from contracts.layout import Layout, manifest_name
from streams.join import Windows
from streams.open_shard import ClosedShard
from streams.pipeline import Rotation
from streams.records import Record, Topic
from streams.shard_writer import PartitionWriter

SAMPLES = 4096
RECORDS_PER_S = 10_000  # of the log's own time, as in stream_events
SLOW_S = 0.1
BARE = "bare write and fsync of as many bytes"
P50 = Comparison("commit of a shard of 4,096 samples, median", "ms", BARE, less_is_better=True)
P99 = Comparison("commit of a shard of 4,096 samples, 99th of 100", "ms", BARE, less_is_better=True)
OTHERS = Comparison("click events of the other partitions while one commits slowly", "events/s", "disk as it is")
TOPIC = Topic("events", "benchmark", 1)


@dataclass(frozen=True)
class Load:
    """How many commits are timed; how many clicks the worker reads, and how often."""

    commits: int
    clicks: int
    rounds: int

    @property
    def log(self) -> ClickLog:
        """The log that the worker reads."""
        return ClickLog(self.clicks, self.clicks * 1000 // RECORDS_PER_S)


FULL, QUICK = Load(300, 400_000, 5), Load(5, 40_000, 1)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure commits in this process, then workers on a broker. Raises `MissingServer` where none can be started."""
    load, machine = QUICK if quick else FULL, this_machine()
    gaps: dict[str, list[float]] = {"slow": [], "as it is": []}
    with site(say) as where:
        say(f"timing {load.commits} commits")
        ours, bare = commit_times(where.folder, load.commits)
        fill(where, "others", load.log.records(PARTITIONS), load.clicks, say)
        sides: dict[str, Callable[[], float]] = {
            "slow": lambda: others_rate(where, load, SLOW_S, gaps["slow"]),
            "as it is": lambda: others_rate(where, load, 0.0, gaps["as it is"]),
        }
        found = interleaved(sides, load.rounds, say)
    note = f"{len(ours)} commits in turn with the bare disk, one partition; data file, state batch and manifest synced."
    worst = f"{note} Worst: {max(ours):.1f} ms, bare {max(bare):.1f} ms."
    return [
        compared(P50, [median(ours)], [median(bare)], machine, note),
        compared(P99, [_p99(ours)], [_p99(bare)], machine, worst),
        compared(OTHERS, found["slow"], found["as it is"], machine, _note(gaps)),
    ]


def commit_times(folder: Path, commits: int) -> tuple[list[float], list[float]]:
    """Return the ms that each commit took, and each write of as many bytes to the bare disk."""
    ours, bare = list[float](), list[float]()
    log = ClickLog(SAMPLES * commits, SAMPLES * commits * PARTITIONS * 1000 // RECORDS_PER_S)
    layout, beside = Layout(folder / "commits"), folder / "bare"
    beside.mkdir()
    writer = PartitionWriter(layout, TOPIC, 0, Windows(), Rotation(SAMPLES))
    writer.begin(0, 1 << 62)

    def told(closed: ClosedShard, seconds: float) -> None:
        if len(closed.samples.ordinal) == SAMPLES:
            ours.append(seconds * 1000)

    values = (Record(offset, record.value) for offset, record in enumerate(log.records(1)))
    while chunk := list(islice(values, SAMPLES)):
        before = len(ours)
        writer.feed(chunk, told)
        if len(ours) > before and (head := shards.chain(layout, TOPIC.name, 0).head()):
            bare.append(_bare(beside / str(head.number), sum(file.size for file in head.files)))
    writer.close()
    return ours, bare


def others_rate(where: Site, load: Load, slow_s: float, gaps: list[float]) -> float:
    """Return the clicks/s of all partitions but the slow one, from their first commit to their last.

    `gaps` gets the longest time (s) in which none of them committed.
    """
    folder = new_folder(where, "others")
    layout, slow = Layout(folder), ("benchmarks.slow_disk", str(slow_s))
    run(worker(where, "others", folder, "worker", slow), lambda: arrived(layout, "others", load.log.end_ms()))
    clicks, times = 0, list[float]()
    for partition in range(1, PARTITIONS):
        chain = shards.chain(layout, "others", partition)
        for entry in chain.entries():
            times.append((chain.directory / manifest_name(entry.number)).stat().st_mtime_ns / 1e9)
            clicks += sum(entry.body.emitted.values()) if entry.number > 1 else 0
    times.sort()
    gaps.append(max(later - earlier for earlier, later in pairwise(times)))
    return clicks / (times[-1] - times[0])


def _bare(path: Path, size: int) -> float:
    data = os.urandom(size)
    started = time.perf_counter()
    write_file(path, data)
    fsync_directory(path.parent)
    return (time.perf_counter() - started) * 1000


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[98]


def _note(gaps: dict[str, list[float]]) -> str:
    longest = {name: median(found) for name, found in gaps.items()}
    return (
        f"One worker, mix (a), {PARTITIONS} partitions. Where each fsync of partition 0's shards takes "
        f"{SLOW_S * 1000:.0f} ms longer, the others against themselves on the disk as it is. Longest time without a "
        f"commit of theirs: {longest['slow']:.2f} s, else {longest['as it is']:.2f} s."
    )
