"""What one worker knows about itself: told by the agent per chunk and per commit, never per record.

Safe from any thread. The health page and the watchdog read `view`; `streams.metrics` reads the totals as well.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from contracts.shards import Shard

Clock = Callable[[], float]
COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class PartitionView:
    """One assigned partition at one moment. Times in seconds of the monotonic clock; -1: not known yet.

    `opened`: its recovery has ended. `moved_at`: its last chunk, else its opening, else its assignment.
    """

    partition: int
    assigned_at: float
    moved_at: float
    opened: bool = False
    next_offset: int = -1
    log_end: int = -1
    asked_at: float = -1.0
    watermark: int = -1
    newest_event_time: int = -1
    open_samples: int = 0
    open_bytes: int = 0

    @property
    def lag(self) -> int:
        """Records between the next one to feed and the end of the log; -1 while either is not known."""
        return max(0, self.log_end - self.next_offset) if self.next_offset >= 0 and self.log_end >= 0 else -1


@dataclass(frozen=True)
class View:
    """The worker at one moment, `now` on the monotonic clock. `joined`: Kafka has dealt partitions, perhaps none."""

    now: float
    partitions: tuple[PartitionView, ...] = ()
    joined: bool = False
    stopping: bool = False


@dataclass
class Totals:
    """What has been committed by this process since it started; `seconds`: commits by the bucket that holds them."""

    read: Counter[str] = field(default_factory=Counter)
    emitted: Counter[str] = field(default_factory=Counter)
    commits: Counter[float] = field(default_factory=Counter)
    commit_seconds: float = 0.0
    lost_races: int = 0


class Vitals:
    """Takes what the agent tells. `clock` is monotonic. What is told of a partition not assigned now is dropped."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._partitions: dict[int, PartitionView] = {}
        self._totals = Totals()
        self._joined = self._stopping = False

    def assigned(self, partitions: Iterable[int]) -> None:
        """Take all partitions that Kafka deals to this worker now; those that it took away are forgotten."""
        with self._lock:
            now, before = self._clock(), self._partitions
            self._partitions = {p: before.get(p, PartitionView(p, now, now)) for p in sorted(set(partitions))}
            self._joined = True

    def opened(self, partition: int, next_offset: int, head: Shard | None) -> None:
        """Tell that a partition has been recovered: the next record to feed, and the newest shard of its chain."""
        self._tell(partition, opened=True, next_offset=next_offset, moved_at=self._clock())
        if head:
            self._note_head(partition, head)

    def fed(self, partition: int, records: int, next_offset: int) -> None:
        """Tell that a chunk was taken, after the work. `records` 0: the log was proved to hold none before it."""
        self._tell(partition, next_offset=next_offset, moved_at=self._clock())

    def committed(self, partition: int, shard: Shard, seconds: float) -> None:
        """Tell that a shard was committed, and how long that took from encoding to the created manifest."""
        with self._lock:
            totals = self._totals
            totals.read.update(shard.read)
            totals.emitted.update(shard.emitted)
            totals.commits[next((b for b in COMMIT_BUCKETS_S if seconds <= b), float("inf"))] += 1
            totals.commit_seconds += seconds
        self._note_head(partition, shard)

    def open_buffer(self, partition: int, samples: int, size: int) -> None:
        """Tell what is held in memory of the shard that is not complete yet: samples, and their bytes."""
        self._tell(partition, open_samples=samples, open_bytes=size)

    def log_end(self, partition: int, offset: int) -> None:
        """Tell where the broker says that the log of a partition ends (its next offset that a reader may see)."""
        self._tell(partition, log_end=offset, asked_at=self._clock())

    def lost_race(self, partition: int) -> None:
        """Tell that another owner created the manifest that this worker wanted to create."""
        with self._lock:
            self._totals.lost_races += 1

    def stopping(self) -> None:
        """Tell that the worker winds down: it is no longer ready, and the watchdog leaves it alone."""
        with self._lock:
            self._stopping = True

    def view(self) -> View:
        """Return what is known now."""
        with self._lock:
            return View(self._clock(), tuple(self._partitions.values()), self._joined, self._stopping)

    def totals(self) -> Totals:
        """Return a copy of what was committed since the process started."""
        with self._lock:
            known = self._totals
            counters = Counter(known.read), Counter(known.emitted), Counter(known.commits)
            return Totals(*counters, known.commit_seconds, known.lost_races)

    def _note_head(self, partition: int, shard: Shard) -> None:
        facts: dict[str, int] = {"watermark": shard.watermark}
        if shard.emitted:  # else it has no sample, and the newest one is older
            facts["newest_event_time"] = shard.last_event_time
        self._tell(partition, **facts)

    def _tell(self, partition: int, **facts: float | bool) -> None:
        with self._lock:
            known = self._partitions.get(partition)
            if known is not None:
                self._partitions[partition] = replace(known, **facts)  # type: ignore[arg-type]
