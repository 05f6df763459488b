"""One round: a topic, a run folder, a crew, a feed, and the faults that strike while records flow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from contracts import shards
from contracts.chain import Entry
from contracts.layout import Layout
from contracts.shards import Shard
from streams.join import Windows
from tests.support.servers import unique_name
from tests.support.workers import REPOSITORY, Worker
from tests.torture.bench import Bench
from tests.torture.crew import Crew
from tests.torture.feed import Feed
from tests.torture.logs import HOUR, MINUTE, planned_log
from tests.torture.verdict import Broken, Content, Judge, NotStruck

if TYPE_CHECKING:
    from tests.torture.plan import Plan

POLL_S = 0.04
PATIENCE_S = 60.0  # without any movement
STRIKE_PATIENCE_S = 20.0  # for a fault that has not come to its end, after the last record was committed
RESERVE = 2_000  # records that are kept back until every worker that is to crash has partitions
SESSION_S = 3
WINDOWS = Windows(join_ms=5 * MINUTE, late_ms=HOUR, park_ms=MINUTE, dedupe_ms=HOUR)
SETTINGS = {
    "join_minutes": "5",
    "late_hours": "1",
    "park_seconds": "60",
    "dedupe_hours": "1",
    "session_seconds": str(SESSION_S),
}
Steps = Generator[None, None, None]


@dataclass(frozen=True)
class Outcome:
    """What a round has shown: records, kills, how it ended, and what each fault did."""

    records: int
    shards: int
    kills: int
    ended: str
    notes: tuple[str, ...]


@dataclass
class Round:
    """The state of a round, for faults to look at and act on; a `yield` of theirs lets everything else go on."""

    plan: Plan
    bench: Bench
    folder: Path
    notes: list[str] = field(default_factory=list)
    refused: str = ""
    content: Content | None = None  # read back early by a fault that destroys the topic
    cleanup: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.topic = unique_name("torture")
        self.layout = Layout(self.folder / "run")
        self.settings = SETTINGS | self.plan.settings | {"group": self.topic}
        self.crew = Crew(self._worker, self.plan.workers)
        self.feed = Feed(self.bench, self.topic, planned_log(Random(self.plan.seed), self.partitions, self.plan.size))
        self._heads: list[Entry[Shard] | None] = [None] * self.partitions
        self._ends: tuple[int, list[int]] = (0, [])  # as of so many records sent
        self._moved: tuple[tuple[int, ...], float] = ((), time.monotonic())

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return self.plan.partitions

    def play(self) -> Outcome:
        """Run the round to its end and judge it. Raises `Broken` or what a damaged chain raises, with the replay."""
        try:
            return self._played()
        except Exception as error:
            error.add_note(f"again: {self.plan.command}")
            raise
        finally:
            self.bench.close()

    def _played(self) -> Outcome:
        self.bench.make_topic(self.topic, self.partitions)
        try:
            self._run()
        finally:
            kills = self.crew.kills
            self.crew.end_all()
            self.cleanup.close()
        content = self.content or self.bench.content(self.topic, self.partitions)
        Judge(self.layout, self.folder / "reference", WINDOWS, whole=not self.refused).check(content)
        self.bench.delete_topic(self.topic)
        ended = self.refused or "as undisturbed"
        return Outcome(len(self.feed.sent), sum(self.head_numbers()), kills, ended, tuple(self.notes))

    def wait(self, condition: Callable[[], bool]) -> Steps:
        """Let the round go on until `condition`; for `yield from` in a fault."""
        while not condition():
            yield

    def heads(self) -> list[Entry[Shard] | None]:
        """Return the newest manifest of each partition."""
        for partition, known in enumerate(self._heads):
            chain, number = shards.chain(self.layout, self.topic, partition), known.number if known else 0
            newest = chain.head_number(number)
            if newest > number:
                self._heads[partition] = chain.read(newest)
        return self._heads

    def head_numbers(self) -> list[int]:
        """Return how many shards each partition has."""
        return [head.number if head else 0 for head in self.heads()]

    def next_offsets(self) -> list[int]:
        """Return where the chain of each partition ends."""
        return [head.body.next_offset if head else 0 for head in self.heads()]

    def complete(self) -> bool:
        """Tell whether the whole log was sent, and every record of it is in a committed shard."""
        if not self.feed.done:
            return False
        if self._ends[0] != len(self.feed.sent):
            self._ends = (len(self.feed.sent), self.bench.ends(self.topic, self.partitions))
        return self.next_offsets() == self._ends[1]

    def advanced(self, partitions: set[int]) -> Callable[[], bool]:
        """Return a condition: each of these partitions has a newer shard than now."""
        before = self.head_numbers()
        return lambda: all(self.head_numbers()[partition] > before[partition] for partition in partitions)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `freshet streams` on this topic and run folder, under the settings of the workers."""
        variables = {f"FRESHET_STREAMS_{name.upper()}": value for name, value in self.settings.items()}
        variables["FRESHET_STREAMS_BOOTSTRAP"] = self.bench.broker.bootstrap
        command = [sys.executable, str(REPOSITORY / "freshet.py"), "streams", *words]
        command += ["--topic", self.topic, "--root", str(self.layout.root)]
        return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)

    def note(self, text: str) -> None:
        """Note what a fault really did."""
        self.notes.append(text)

    def _run(self) -> None:
        waiting = {fault: fault.strike(self) for fault in self.plan.faults}
        self.feed.pump(0)
        while True:
            self.crew.look()
            for fault, steps in list(waiting.items()):
                if next(steps, self) is self:
                    del waiting[fault]
            if self.refused or (not waiting and self.complete()):
                break
            self.crew.fill()
            if len(self.feed.planned) > RESERVE or not self.crew.unready(self.layout, self.topic):
                self.feed.pump(sum(self.next_offsets()))
            self._check_patience([fault.name for fault in waiting])
            time.sleep(POLL_S)
        if waiting:
            raise NotStruck(f"never came to its end: {', '.join(fault.name for fault in waiting)}")

    def _check_patience(self, waiting: list[str]) -> None:
        seen = (sum(self.next_offsets()), len(self.feed.sent), len(self.notes), len(self.crew.gone))
        if seen != self._moved[0]:
            self._moved = (seen, time.monotonic())
        still = time.monotonic() - self._moved[1]
        if still > STRIKE_PATIENCE_S and self.complete():
            raise NotStruck(f"the whole log is in shards, and these faults have not come to their end: {waiting}")
        if still > PATIENCE_S:
            where = f"{len(self.feed.sent)} records sent, committed up to {self.next_offsets()}"
            raise Broken(f"nothing has moved for {PATIENCE_S:.0f} s: {where}; faults under way: {waiting}")

    def _worker(self, crash_at: str) -> Worker:
        return Worker(self.bench.broker, self.topic, self.layout, crash_at, **self.settings)
