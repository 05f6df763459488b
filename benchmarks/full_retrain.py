"""Headline figure: samples/s of a full retrain's day on one thread of torch, against the same towers in plain torch.

Two figures of ours: from committed shards to trained parameters (read, check, count, choose the vocabulary, scatter,
shuffle, train), and the training alone, out of the shuffled files. The peer trains from a Dataset and a DataLoader,
without workers and with two, negatives shared or the batch's own, whichever is best. From shards it reads them with the
tfrecord package first, the vocabulary being given; for the training alone its arrays are in memory. The third figure
sets all of ours against the peer's training alone. The day is a synthetic one, or the clicks that `FRESHET_BENCH_DATA`
names.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.figures import Comparison, Figure, amount, compared, spread, this_machine
from benchmarks.replay_day import DATA_VARIABLE, day_of_clicks
from benchmarks.replay_day import Load as Clicks
from benchmarks.rounds import Say, interleaved
from benchmarks.runs import PARTITIONS
from benchmarks.scratch import scratch_folder
from benchmarks.torch_epoch import Learned, PlainModel, Rows, epoch, read
from contracts.errors import FreshetError
from contracts.layout import Layout
from streams.join import Windows
from streams.log import TICK_MS
from streams.pipeline import Rotation
from streams.records import Topic as LogTopic
from streams.replay import Replay, Rules
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from trainer.day_scan import Scan
from trainer.epoch import Epoch, Periods, Scattered, TrainingRows
from trainer.full_model import FullModel
from trainer.one_thread import one_thread
from trainer.settings import FullRetrain, TrainerSettings
from trainer.starting_point import Known, know, starting_rows, starting_towers
from trainer.training_days import Day, Topic, day_chunks, open_topic
from trainer.translation import Translation

TOPIC = LogTopic("events", "benchmark", PARTITIONS)
BATCH, HALF_LIFE_MS, HOUR_MS = 2048, 1_800_000, 3_600_000
PEER = "the same towers in plain torch, Dataset and DataLoader"
FROM_SHARDS = "the same towers in plain torch, tfrecord's reader and DataLoader"
WHOLE = Comparison("full retrain from shards to parameters, one torch thread", "samples/s", FROM_SHARDS, 3.0, 5.0)
IN_MEMORY = Comparison(WHOLE.figure, "samples/s", f"{PEER}, its arrays in memory")
TRAINING = Comparison("full retrain, training alone, one torch thread", "samples/s", PEER, 3.0, 5.0)
FULL, QUICK = Clicks(200_000, 0, 5), Clicks(5_000, 0, 1)


@dataclass
class Losses:
    """The mean losses (nats) that each side came to, by its name."""

    of: dict[str, list[float]] = field(default_factory=dict)

    def keep(self, name: str, learned: Learned) -> float:
        """Note the loss; return the rate."""
        self.of.setdefault(name, []).append(learned.loss)
        return learned.rate


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure in this process, on one thread of torch."""
    load, losses = QUICK if quick else FULL, Losses()
    with scratch_folder() as folder, one_thread():
        data, described = day_of_clicks(folder, load, os.environ.get(DATA_VARIABLE, ""))
        layout = Layout(folder / "run")
        say(f"folding {described} into shards")
        replay = Replay(layout, TOPIC, Rules(Windows(), Rotation(bucket_ms=HOUR_MS)))
        replay.fold(open_source(SourceOptions(data=data, format="globo")).records(PARTITIONS, TICK_MS))
        replay.close()
        found = interleaved(_sides(layout, losses), load.rounds, say)
    return _figures(found, losses, described)


@contextmanager
def _ready(layout: Layout, settings: TrainerSettings) -> Iterator[tuple[Known, Epoch]]:
    """Read all shards of the topic as one day, as a retrain from scratch does."""
    topic = open_topic(layout, TOPIC.name)
    day = _day(topic)
    with tempfile.TemporaryDirectory(dir=layout.root) as folder:
        scan = Scan(None, (HALF_LIFE_MS, day.end), 0)
        periods = Periods.of(settings.retrain.order, 0, day.end)
        rows = Scattered(Path(folder), day.name, settings.retrain.seed, sum(day.next), periods)
        scan.begin(day.name)
        for chunk in day_chunks(topic, day, lambda done, total: None):
            rows.add(scan.add(chunk), chunk.click_times)
        _, clicks = scan.end()
        known = know(scan, None, settings)
        yield known, Translation(scan, known.items, known.towers.context).epoch(rows, clicks)


def _day(topic: Topic) -> Day:
    heads = [entry.body for chain in topic.chains for entry in [chain.head()] if entry]
    after = tuple(body.next_ordinal for body in heads)
    return Day("day", tuple(0 for _ in heads), after, max(body.watermark for body in heads))


def _trained(known: Known, day: Epoch, settings: FullRetrain) -> Learned:
    model = FullModel(starting_towers(known, None, 1), starting_rows(known, None, 1), known.content, settings)
    started = time.perf_counter()
    loss = model.train(day, lambda done, total: None)
    return Learned(day.size / (time.perf_counter() - started), loss)


def _whole(layout: Layout, settings: TrainerSettings) -> Learned:
    started = time.perf_counter()
    with _ready(layout, settings) as (known, day):
        learned = _trained(known, day, settings.retrain)
        return Learned(day.size / (time.perf_counter() - started), learned.loss)


def _alone(layout: Layout, settings: TrainerSettings) -> Learned:
    with _ready(layout, settings) as (known, day):
        return _trained(known, day, settings.retrain)


def _sides(layout: Layout, losses: Losses) -> dict[str, Callable[[], float]]:
    settings = TrainerSettings().model_copy(update={"retrain": FullRetrain(batch=BATCH, min_steps=1)})
    with _ready(layout, settings) as (known, day):
        parts = list(day.stretches())
        names = TrainingRows.__dataclass_fields__
        rows = Rows(TrainingRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names)))
        _trained(known, day, settings.retrain)  # what torch imports at its first step is on no side

    def plain(rows: Rows, workers: int, negatives: str) -> Learned:
        torch.manual_seed(1)
        start = starting_towers(known, None, 1), starting_rows(known, None, 1)
        model = PlainModel(*start, day.clicks, settings.retrain)
        loss_of = model.shared if negatives == "shared" else model.in_batch
        return epoch(model, rows, workers, loss_of, BATCH)

    def from_shards() -> Learned:
        started = time.perf_counter()
        found = read(_paths(layout), known)
        learned = plain(found, 0, "shared")
        if len(found) != len(rows):
            raise FreshetError(f"the peer read {len(found)} samples of {len(rows)}")
        return Learned(len(found) / (time.perf_counter() - started), learned.loss)

    sides: dict[str, Callable[[], float]] = {
        "whole": lambda: losses.keep("whole", _whole(layout, settings)),
        "training": lambda: losses.keep("training", _alone(layout, settings)),
        "peer from shards": lambda: losses.keep("peer from shards", from_shards()),
    }
    for workers, negatives in ((0, "shared"), (2, "shared"), (0, "in-batch")):
        name = f"{negatives} negatives, {workers} workers"
        sides[name] = lambda name=name, at=(workers, negatives): losses.keep(name, plain(rows, *at))  # type: ignore[misc]
    return sides


def _figures(found: dict[str, list[float]], losses: Losses, described: str) -> list[Figure]:
    peers = [name for name in found if name not in {"whole", "training", "peer from shards"}]
    best = max(peers, key=lambda name: median(found[name]))
    compared_loss = f"mean loss of the epoch: ours {amount(median(losses.of['whole']))} nats, the peer's with shared "
    compared_loss += f"negatives {amount(median(losses.of['shared negatives, 0 workers']))}"
    peer = "; ".join(f"{name}: {spread(found[name])}" for name in peers)
    note = f"{described}, d = 64, batch {BATCH:,}, 1,024 shared negatives, one epoch; {compared_loss}"
    in_memory = f"The peer's arrays are decoded and in memory; at its best with {best} ({peer})."
    machine = this_machine()
    reads = (
        "The peer reads with the tfrecord package, into arrays; it checks and counts nothing, its vocabulary is given"
    )
    alone = "Reading, checking and decoding of shards, vocabulary and shuffle included on our side alone"
    return [
        compared(WHOLE, found["whole"], found["peer from shards"], machine, f"{reads}. {note}."),
        compared(TRAINING, found["training"], found[best], machine, f"Out of the shuffled files. {note}. {in_memory}"),
        compared(IN_MEMORY, found["whole"], found[best], machine, f"{alone}. {note}. {in_memory}"),
    ]


def _paths(layout: Layout) -> list[Path]:
    chains = open_topic(layout, TOPIC.name).chains
    return [chain.directory / file.name for chain in chains for entry in chain.entries() for file in entry.files]
