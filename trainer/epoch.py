"""One day of training: its samples in random order, batch by batch, without holding them in memory.

Every sample gets a key: a moment drawn evenly from its period of the day. It goes into one of some bucket files, each
for an equal span of keys; buckets are read one after the other, each sorted by period and shuffled within one. So the
periods come in the order of time, and every order within a period is equally likely (Rao 1961 and Sandelius 1962, "A
simple randomization procedure"). With the whole day as the period, the default, that is a uniform shuffle of the day.
Memory holds the vocabulary, one bucket and a few batches; with short periods a bucket is a span of the day, and larger
where that was busy. All draws come from counters, by the sample's place in the day: where shards were cut leaves no
trace.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from contracts.arrays import Array, Doubles, Floats, Integers
from trainer.negatives import numbers_of

BUCKET_SAMPLES = 1 << 16
AHEAD = 4
PERIODS_MS = {"hour": 3_600_000, "minute": 60_000, "click": 1}  # any other order: the whole day is one period


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


_NO_INTEGERS, _NO_COLUMNS = np.zeros(0, np.int64), np.zeros((0, 0), np.int64)
NO_ROWS = TrainingRows(_NO_INTEGERS, _NO_INTEGERS, _NO_COLUMNS, np.zeros((0, 0), np.float32), _NO_COLUMNS)


@dataclass(frozen=True)
class Epoch:
    """A day to be trained on once: `clicks` int64 [items] on each item, and what yields its rows in their order."""

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


@dataclass(frozen=True)
class Periods:
    """A day, [start, end) in ms, in periods of `length` ms that its samples are ordered by; the last may be shorter."""

    start: int
    end: int
    length: int

    @classmethod
    def of(cls, order: str, start: int, end: int) -> Self:
        """Return the periods of the setting `order` of `[retrain]`."""
        return cls(start, end, PERIODS_MS.get(order, end - start))

    def numbers(self, times: Integers) -> Integers:
        """Return the period of each moment (ms), int64 [n], from 0; what is outside the day belongs to its ends."""
        return (np.clip(times, self.start, self.end - 1) - self.start) // self.length

    def keys(self, numbers: Integers, draws: Doubles) -> Doubles:
        """Return the moment, as a share of the day, that each draw from [0, 1) stands for in its period."""
        lengths = np.minimum(self.length, self.end - self.start - numbers * self.length)
        return np.asarray((numbers * self.length + draws * lengths) / (self.end - self.start), dtype=np.float64)


class Scattered:
    """Rows of a day on their way into bucket files under `folder`, which must be empty; `total`: about how many come.

    `add` takes consecutive rows; later ones may have more columns of codes and numbers, but no fewer.
    """

    def __init__(self, folder: Path, name: str, seed: int, total: int, periods: Periods) -> None:
        self.name, self._folder, self._seed, self._periods = name, folder, seed, periods
        self._count = -(-max(total, 1) // BUCKET_SAMPLES)
        self._dice = numbers_of(f"bucket {seed} {name}", 0)
        self._shapes: list[tuple[int, int, int]] = []

    def add(self, rows: TrainingRows, times: Integers) -> None:
        """Write rows into their buckets; `times`: int64 [n], ms, when each happened."""
        shape = (rows.codes.shape[1], rows.numbers.shape[1], rows.hard.shape[1])
        if shape not in self._shapes:
            self._shapes.append(shape)
        periods = self._periods.numbers(times)
        about = (rows.users[:, None], rows.items[:, None], rows.codes, rows.hard, rows.numbers.view(np.int32))
        parts = (periods[:, None].view(np.int32), *about)
        whole = np.hstack([part.astype(np.int32, copy=False) for part in parts])
        keys = self._periods.keys(periods, self._dice.random(len(rows)))
        buckets = np.minimum((keys * self._count).astype(np.int64), self._count - 1)
        order = np.argsort(buckets, kind="stable")
        ends = np.searchsorted(buckets[order], np.arange(self._count + 1))
        for bucket in np.flatnonzero(np.diff(ends)).tolist():
            with self._path(bucket, shape).open("ab") as file:
                file.write(whole[order[ends[bucket] : ends[bucket + 1]]].tobytes())

    def read(self) -> Iterator[TrainingRows]:
        """Yield all rows in their order, a bucket at a time; those with fewer columns are filled with 0 and NaN."""
        for bucket in range(self._count):
            paths = [(self._path(bucket, shape), shape) for shape in self._shapes]
            parts = [self._part(path, shape) for path, shape in paths if path.exists()]
            if parts:
                periods, *columns = (np.concatenate(each) for each in zip(*parts, strict=True))
                shuffled = numbers_of(f"shuffle {self._seed} {self.name}", bucket).permutation(len(periods))
                yield TrainingRows(*columns).at(shuffled[np.argsort(periods[shuffled], kind="stable")])

    def _path(self, bucket: int, shape: tuple[int, int, int]) -> Path:
        return self._folder / "-".join(map(str, (bucket, *shape)))

    def _part(self, path: Path, shape: tuple[int, int, int]) -> tuple[Array, ...]:
        codes, numbers, hard = shape
        whole = np.fromfile(path, dtype=np.int32).reshape(-1, 4 + sum(shape))
        periods, users, items, coded, rejected, values = np.split(whole, np.cumsum([2, 1, 1, codes, hard]), axis=1)
        widest = self._shapes[-1]
        filled = np.pad(coded, ((0, 0), (0, widest[0] - codes)))
        found = np.ascontiguousarray(values).view(np.float32)
        measured = np.pad(found, ((0, 0), (0, widest[1] - numbers)), constant_values=np.nan)
        as_integers = (part.astype(np.int64) for part in (users[:, 0], items[:, 0], filled, rejected))
        at_users, at_items, at_codes, at_hard = as_integers
        at_periods = np.ascontiguousarray(periods).view(np.int64)[:, 0]
        return at_periods, at_users, at_items, at_codes, measured, at_hard


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
