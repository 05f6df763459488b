"""One day of training: its samples in a uniformly random order, batch by batch, without holding them in memory.

Every sample goes into one of some bucket files, drawn at random; buckets are read one after the other, each shuffled
within. That is sorting by independent random keys (the bucket being the leading digits), so every order of the day is
equally likely (Rao 1961 and Sandelius 1962, "A simple randomization procedure"). Memory holds the vocabulary, one
bucket and a few batches. All draws come from counters, by the sample's place in the day: where shards were cut leaves
no trace.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contracts.arrays import Floats, Integers
from trainer.negatives import numbers_of

BUCKET_SAMPLES = 1 << 16
DRAWN_AT_ONCE = 4096
AHEAD = 4


@dataclass(frozen=True)
class TrainingRows:
    """Samples as the model eats them.

    `users`, `items`: positions in the tables, int64 [n]; `codes` int64 [n, F]; `numbers` float32 [n, C]; `hard` int64
    [n, H], what ranking rejected in the click's own request, -1 for nothing. Never what was shown and not clicked.
    """

    users: Integers
    items: Integers
    codes: Integers
    numbers: Floats
    hard: Integers

    def __len__(self) -> int:
        return len(self.users)

    def at(self, rows: Integers) -> TrainingRows:
        """Return some of the rows, in this order."""
        return TrainingRows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Epoch:
    """A day to be trained on once: `clicks` int64 [items] on each item, and what yields its rows in random order."""

    name: str
    size: int
    clicks: Integers
    stretches: Callable[[], Iterator[TrainingRows]]

    def batches(self, steps: int) -> Iterator[TrainingRows]:
        """Yield the rows in `steps` batches as even as can be; the next ones are made ready beside."""
        sizes = [self.size // steps + (number < self.size % steps) for number in range(steps)]
        return _ahead(_cut(self.stretches(), sizes))


def in_memory(name: str, rows: TrainingRows, items: int, seed: int) -> Epoch:
    """Return the epoch of rows that are in memory."""
    clicks = np.bincount(rows.items, minlength=items).astype(np.int64)

    def shuffled() -> Iterator[TrainingRows]:
        yield rows.at(numbers_of(f"shuffle {seed} {name}", 0).permutation(len(rows)))

    return Epoch(name, len(rows), clicks, shuffled)


@dataclass
class Scattered:
    """Rows on their way into bucket files under `folder`, which must be empty; `total`: about how many will come.

    `add` takes the encoded rows of consecutive samples, with their places in the day.
    """

    folder: Path
    name: str
    seed: int
    total: int
    items: int
    size: int = 0
    clicks: Integers = field(init=False)
    _drawn: tuple[int, Integers] = (-1, np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.clicks = np.zeros(self.items, np.int64)
        self._count = -(-max(self.total, 1) // BUCKET_SAMPLES)
        self._shapes: tuple[int, int, int] = (0, 0, 0)

    def add(self, places: Integers, rows: TrainingRows) -> None:
        """Write rows, int64 [n] `places` in the day, into their buckets."""
        self._shapes = (rows.codes.shape[1], rows.hard.shape[1], rows.numbers.shape[1])
        self.size += len(rows)
        self.clicks += np.bincount(rows.items, minlength=self.items)
        whole = np.hstack([rows.users[:, None], rows.items[:, None], rows.codes, rows.hard])
        buckets = self._buckets(places)
        for bucket in np.unique(buckets).tolist():
            inside = buckets == bucket
            for suffix, part in (("ints", whole[inside]), ("floats", rows.numbers[inside])):
                with (self.folder / f"{bucket:06d}.{suffix}").open("ab") as file:
                    file.write(np.ascontiguousarray(part).tobytes())

    def epoch(self) -> Epoch:
        """Return the epoch of all that was added."""
        return Epoch(self.name, self.size, self.clicks, self._read)

    def _buckets(self, places: Integers) -> Integers:
        found = np.empty(len(places), np.int64)
        blocks = places // DRAWN_AT_ONCE
        for block in np.unique(blocks).tolist():
            if self._drawn[0] != block:
                dice = numbers_of(f"bucket {self.seed} {self.name}", block)
                self._drawn = block, dice.integers(self._count, size=DRAWN_AT_ONCE)
            inside = blocks == block
            found[inside] = self._drawn[1][places[inside] % DRAWN_AT_ONCE]
        return found

    def _read(self) -> Iterator[TrainingRows]:
        codes, hard, numbers = self._shapes
        for bucket in range(self._count):
            path = self.folder / f"{bucket:06d}.ints"
            if not path.exists():
                continue
            whole = np.fromfile(path, dtype=np.int64).reshape(-1, 2 + codes + hard)
            floats = np.fromfile(path.with_suffix(".floats"), dtype=np.float32).reshape(len(whole), numbers)
            rows = TrainingRows(whole[:, 0], whole[:, 1], whole[:, 2 : 2 + codes], floats, whole[:, 2 + codes :])
            yield rows.at(numbers_of(f"shuffle {self.seed} {self.name}", bucket).permutation(len(whole)))


def _cut(stretches: Iterable[TrainingRows], sizes: list[int]) -> Iterator[TrainingRows]:
    """Yield consecutive rows in pieces of these sizes."""
    rest: TrainingRows | None = None
    wanted = iter(sizes)
    size = next(wanted, 0)
    for stretch in stretches:
        rest = stretch if rest is None else _joined(rest, stretch)
        start = 0
        while size and len(rest) - start >= size:
            yield rest.at(np.arange(start, start + size))
            start, size = start + size, next(wanted, 0)
        rest = rest.at(np.arange(start, len(rest)))


def _joined(one: TrainingRows, other: TrainingRows) -> TrainingRows:
    names = TrainingRows.__dataclass_fields__
    return TrainingRows(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in names))


def _ahead(batches: Iterator[TrainingRows]) -> Iterator[TrainingRows]:
    """Yield the same, made ready by a thread that is a few batches ahead; what it raises is raised here."""
    ready: queue.Queue[TrainingRows | BaseException | None] = queue.Queue(AHEAD)
    ended = threading.Event()

    def put(each: TrainingRows | BaseException | None) -> None:
        while not ended.is_set():
            try:
                ready.put(each, timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for batch in batches:
                put(batch)
                if ended.is_set():
                    return
            put(None)
        except BaseException as error:  # told to whoever waits for a batch
            put(error)

    worker = threading.Thread(target=make, name="batches", daemon=True)
    worker.start()
    try:
        while (each := ready.get()) is not None:
            if isinstance(each, BaseException):
                raise each
            yield each
    finally:
        ended.set()
        worker.join()
