"""A day of shards as an epoch: encoded, scattered into files, read back in random order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.epoch import Epoch, Scattered
from trainer.starting_point import SampleEncoder
from trainer.training_days import Day, Topic, day_chunks


@contextmanager
def shuffled_day(folder: Path, of: tuple[Topic, Day], encoder: SampleEncoder, seed: int) -> Iterator[Epoch]:
    """Make the epoch of a topic's day in a new `folder`, for the body; then the folder goes."""
    (topic, day), first = of, 0
    total = sum(after - before for before, after in zip(day.first, day.next, strict=True))
    scattered = Scattered(folder, day.name, seed, total, encoder.items)
    folder.mkdir(parents=True)
    try:
        for chunk in day_chunks(topic, day, lambda done, total: None):
            kept, rows = encoder.encode(chunk)
            scattered.add(first + kept, rows)
            first += len(chunk.users)
        yield scattered.epoch()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
