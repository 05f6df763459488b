"""Headline figure: memory of one worker's writers after ten million events, against after one million.

    python -m benchmarks.memory --events 10_000_000

feeds `PartitionWriter`s, one process with all partitions, with a log made on the fly, without Kafka: clicks with event
ids, and two requests to each. The log runs at 250 records/s of its own time, so that a million is an hour and ten
million are eleven: every window but the day's is full at the first reading. Memory is the process's resident set.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.click_log import ClickLog
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.results import REPOSITORY
from benchmarks.rounds import Progress, Say
from benchmarks.runs import PARTITIONS, run
from benchmarks.scratch import scratch_folder
from contracts import durable
from contracts.errors import FreshetError
from contracts.layout import Layout
from infra.processes import Program
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import Record, Topic
from streams.scheduler import CHUNK
from streams.shard_writer import PartitionWriter

EVENTS_PER_S = 250
REQUESTS = 2
FULL, QUICK = 10_000_000, 100_000
TOPIC = Topic("events", "benchmark", PARTITIONS)
NO_END = 1 << 62
WHAT = Comparison("memory of a worker's writers after 10 M events", "MiB", "after 1 M", must=0.909, less_is_better=True)


class Reading(msgspec.Struct, frozen=True):
    """What the process held after so many `events`: `resident` and its `peak` in MiB, after `seconds`."""

    events: int
    resident: float
    peak: float
    seconds: float


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure in a process of its own: the reading after all events against the one after a tenth of them."""
    events = QUICK if quick else FULL
    with scratch_folder() as folder:
        result = folder / "readings.json"
        words = ["-m", "benchmarks.memory", "--events", str(events), "--result", str(result)]
        say(f"feeding {events:,} events; {folder / 'log'} tells how far it is")
        run(Program("The memory run", [sys.executable, *words], folder / "log", REPOSITORY), result.exists)
        readings = msgspec.json.decode(result.read_bytes(), type=list[Reading])
    first, last = readings[0], readings[-1]
    note = (
        f"Ours after {last.events:,} events, peer after {first.events:,}; must: at most 1.1 times as much. Peaks "
        f"{first.peak:,.0f} and {last.peak:,.0f} MiB. {PARTITIONS} partitions in one process, one click with an event "
        f"id to {REQUESTS} requests, {EVENTS_PER_S} records/s of log time, {last.events / last.seconds:,.0f} of ours."
    )
    return [compared(WHAT, [last.resident], [first.resident], this_machine(), note)]


def log_of(events: int) -> ClickLog:
    """Return a log of about so many events."""
    return ClickLog(events // (1 + REQUESTS), events * 1000 // EVENTS_PER_S, REQUESTS, users=200_000)


class Feeding:
    """The writers of all partitions in this process, fed chunk by chunk as the worker feeds them."""

    def __init__(self, layout: Layout) -> None:
        self.writers = [PartitionWriter(layout, TOPIC, number, Windows(), Rotation()) for number in range(PARTITIONS)]
        for writer in self.writers:
            writer.begin(0, NO_END)

    def feed(self, log: ClickLog) -> Iterator[int]:
        """Feed the whole log; yield how many records have been fed, after each chunk."""
        offsets, fed = [0] * PARTITIONS, 0
        chunks: list[list[Record]] = [[] for _ in self.writers]
        for record in log.records(PARTITIONS):
            chunk = chunks[record.partition]
            chunk.append(Record(offsets[record.partition], record.value))
            offsets[record.partition] += 1
            if len(chunk) == CHUNK:
                fed += self._take(record.partition, chunk)
                yield fed
        yield fed + sum(self._take(number, chunk) for number, chunk in enumerate(chunks))

    def close(self) -> None:
        """Release all state DBs."""
        for writer in self.writers:
            writer.close()

    def _take(self, partition: int, chunk: list[Record]) -> int:
        count = len(chunk)
        self.writers[partition].feed(chunk)
        chunk.clear()
        return count


def readings_of(layout: Layout, events: int, say: Say) -> list[Reading]:
    """Feed about so many events; return ten readings, or the last alone where a chunk is more than a tenth."""
    feeding, every = Feeding(layout), events // 10
    started, progress, found = time.perf_counter(), Progress(events), list[Reading]()
    try:
        for fed in feeding.feed(log_of(events)):
            if fed >= every * (len(found) + 1):
                found.append(_reading(fed, time.perf_counter() - started))
                say(f"{fed:>12,} events  {found[-1].resident:,.0f} MiB, peak {found[-1].peak:,.0f}; {progress.at(fed)}")
    finally:
        feeding.close()
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=FULL, help="how many (default: %(default)s)")
    parser.add_argument("--result", type=Path, help="a file for the readings, as JSON")
    arguments = parser.parse_args(argv)
    with scratch_folder() as folder:
        readings = readings_of(Layout(folder), arguments.events, lambda text: print(text, flush=True))
    print(
        f"after {readings[-1].events:,} events {readings[-1].resident / readings[0].resident:.3f} times the memory "
        f"after {readings[0].events:,}"
    )
    if arguments.result:
        durable.replace_file(arguments.result, msgspec.json.encode(readings))
    return 0


def _reading(events: int, seconds: float) -> Reading:
    return Reading(events, resident_mib(), resident_mib("VmHWM"), seconds)


def resident_mib(name: str = "VmRSS") -> float:
    """Return an entry of /proc/self/status in MiB: the resident set, or with VmHWM its peak."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise FreshetError(f"memory cannot be read: {error}", hint="This benchmark needs Linux.") from None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
