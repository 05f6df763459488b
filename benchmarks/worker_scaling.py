"""Figure: records/s of two worker processes against one, on the same machine, and what limits them.

So that all start at once, a run's records are sent in one transaction, which is committed when every worker has its
partitions: until then a reader of committed records sees none of them. From that moment to the last shard's commit.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from kafka import KafkaAdminClient, KafkaProducer

from benchmarks.click_log import START_MS, WARM_UP, ClickLog
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.rounds import Say, interleaved, told
from benchmarks.runs import PARTITIONS, PATIENCE_S, Site, arrived, check_all_clicks, committed, new_folder, site, worker
from contracts.errors import FreshetError
from contracts.layout import Layout
from infra.processes import ServerProcess, wait_until
from streams.log import TICK_MS
from streams.produce import Producer, ensure_topic

RECORDS_PER_S = 10_000  # of the log's own time, as in stream_events
STEADY_S = 3.0
WHAT = Comparison("click events from Kafka to committed shards, two processes", "events/s", "one process")
_TRANSACTION_MS, _PATIENCE_S = 600_000, 5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """How many clicks a run has, and how many rounds there are."""

    clicks: int
    rounds: int

    @property
    def log(self) -> ClickLog:
        """The log of every run."""
        return ClickLog(self.clicks, self.clicks * 1000 // RECORDS_PER_S)


FULL, QUICK = Load(800_000, 3), Load(24_000, 1)


@dataclass(frozen=True)
class Busy:
    """Cores kept busy during a run: by the workers, and by everything on the machine, the broker included."""

    workers: float
    machine: float


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure on a broker of its own. Raises `MissingServer` where none can be started."""
    load, numbers = QUICK if quick else FULL, itertools.count(1)
    busy: dict[int, list[Busy]] = {1: [], 2: []}

    def side(where: Site, workers: int) -> Callable[[], float]:
        return lambda: rate(Run(where, f"scaling-{next(numbers)}", load.log, workers), busy[workers], say)

    with site(say) as where:
        found = interleaved({"one": side(where, 1), "two": side(where, 2)}, load.rounds, say)
    return [compared(WHAT, found["two"], found["one"], this_machine(), _note(load, busy))]


@dataclass(frozen=True)
class Run:
    """One run: a topic of its own, and so many workers."""

    where: Site
    topic: str
    log: ClickLog
    workers: int


def rate(what: Run, busy: list[Busy], say: Say) -> float:
    """Return the clicks/s of all workers together; `busy` gets what they kept busy."""
    where, log = what.where, what.log
    folder = new_folder(where, what.topic)
    layout = Layout(folder)
    with ExitStack() as stack:
        held = stack.enter_context(_Held(what, say))
        admin = stack.enter_context(closing(KafkaAdminClient(**where.access.client())))
        programs = [worker(where, what.topic, folder, f"worker-{number}") for number in range(what.workers)]
        processes = [ServerProcess(program) for program in programs]
        for process in processes:
            stack.callback(process.kill)
            process.start(lambda: True, PATIENCE_S)
        group = programs[0].environment["FRESHET_STREAMS_GROUP"]
        _wait(processes, lambda: arrived(layout, what.topic, START_MS + TICK_MS))
        _wait(processes, _Steady(admin, group, what.workers))
        before, started = _cpu(processes), time.time()
        held.commit()
        _wait(processes, lambda: arrived(layout, what.topic, log.end_ms()))
        after, ended = _cpu(processes), time.time()
    done = committed(layout, what.topic)
    check_all_clicks(done, log)
    busy.append(Busy(*((b - a) / (ended - started) for a, b in zip(before, after, strict=True))))
    return done.records / (done.last_commit - started)


class _Held:
    """A topic that has its warm-up records, and all others in a transaction that waits for `commit`."""

    def __init__(self, what: Run, say: Say) -> None:
        self._topic, self._count, self._say = what.topic, what.log.count, say
        self._records = what.log.records(PARTITIONS)
        ensure_topic(what.where.access, what.topic, PARTITIONS)
        with Producer(what.where.access, what.topic, "lz4") as producer:
            producer.send(islice(self._records, WARM_UP + 2 * PARTITIONS))  # with the ticks before and after the clicks
        self._producer = KafkaProducer(
            **what.where.access.client(),
            transactional_id=what.topic,
            transaction_timeout_ms=_TRANSACTION_MS,
            compression_type="lz4",
            batch_size=1 << 18,
            linger_ms=20,
        )

    def __enter__(self) -> _Held:
        self._producer.init_transactions()
        self._producer.begin_transaction()
        for record in told(self._records, self._count, "sent", self._say):
            self._producer.send(self._topic, record.value, record.key, partition=record.partition)
        self._producer.flush()
        return self

    def commit(self) -> None:
        """Let everybody see it."""
        self._producer.commit_transaction()

    def __exit__(self, *_: object) -> None:
        self._producer.close(timeout=_PATIENCE_S)


class _Steady:
    """Whether a consumer group has had so many members, each with partitions, for `STEADY_S` without a rebalance."""

    def __init__(self, admin: KafkaAdminClient, group: str, members: int) -> None:
        self._admin, self._group, self._members = admin, group, members
        self._seen, self._since = "", time.monotonic()

    def __call__(self) -> bool:
        described = self._admin.describe_groups([self._group])[self._group]
        seen = repr(described["members"]) if described["group_state"] == "Stable" else ""
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return len(described["members"]) == self._members and bool(seen) and time.monotonic() - self._since > STEADY_S


def _wait(processes: Sequence[ServerProcess], done: Callable[[], bool]) -> None:
    """Wait for `done`. Raises `FreshetError` when a worker ends before."""
    try:
        wait_until(done, lambda: all(process.running for process in processes), PATIENCE_S)
    except TimeoutError as error:
        raise FreshetError(
            f"a stream worker {error}", hint="See var/benchmarks; the demo shows what it says."
        ) from None


def _cpu(processes: Sequence[ServerProcess]) -> tuple[float, float]:
    """Return the seconds of processor time that the workers, and the whole machine, have used so far."""
    workers = 0.0
    for process in processes:
        fields = (
            Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        workers += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    user, nice, system, _, _, irq, soft = Path("/proc/stat").read_text(encoding="ascii").split()[1:8]
    return workers, sum(map(int, (user, nice, system, irq, soft))) / _TICKS_PER_S


def _note(load: Load, busy: dict[int, list[Busy]]) -> str:
    def cores(workers: int) -> str:
        own, whole = (median(getattr(one, name) for one in busy[workers]) for name in ("workers", "machine"))
        return f"{own:.2f} cores by the workers and {whole - own:.2f} by all else, the broker included"

    return (
        f"{load.clicks:,} clicks, mix (a), seen by all workers at once, up to the last commit. Busy with one process: "
        f"{cores(1)}; with two: {cores(2)}; of {this_machine().cores}: where that is all, the processor is the limit."
    )
