"""Headline figure: samples/s of the online update on one thread, against a plain torch loop at its best batch size.

Two figures of ours beside the same peer: the whole update, from committed shards to committed deltas (read, decode,
score with what is served and with the frozen base, learn, commit), and the arithmetic of its blocks alone.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from benchmarks.click_log import WARM_UP, ClickLog
from benchmarks.figures import Comparison, Figure, compared, spread, this_machine
from benchmarks.online_input import TOPIC, WIDTH, blocks, plain_clicks, write_base, write_shards
from benchmarks.rounds import Say, interleaved
from benchmarks.scratch import scratch_folder
from benchmarks.torch_loop import BATCHES, NEGATIVES, Clicks, torch_rate
from contracts.bases import OpenBase
from contracts.errors import FreshetError
from contracts.layout import Layout
from trainer.block_fold import BlockFold
from trainer.one_thread import one_thread
from trainer.online import OnlineWorker
from trainer.settings import TrainerSettings

SAMPLES_PER_HOUR = 10_000  # of the log's own time, in the one topic-partition
HOUR_MS = 3_600_000
PEER = "plain torch loop"
UPDATE = Comparison("online update from committed shards to committed deltas, one thread", "samples/s", PEER, 1.0)
FOLD = Comparison("online update, arithmetic of its blocks alone, one thread", "samples/s", PEER, 1.0)


@dataclass(frozen=True)
class Load:
    """How many samples each side learns in a round, and how many rounds there are."""

    samples: int
    peer_samples: int
    rounds: int

    @property
    def log(self) -> ClickLog:
        """The log behind the shards; its last ticks cross a publish boundary, so that everything is in a delta."""
        return ClickLog(self.samples, self.samples * HOUR_MS // SAMPLES_PER_HOUR, closing_ms=HOUR_MS // 2)


FULL, QUICK = Load(20_000, 200_000, 5), Load(1_000, 10_000, 1)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure in this process, on one thread of torch."""
    load = QUICK if quick else FULL
    with scratch_folder() as folder, one_thread():
        layout = Layout(folder)
        say(f"folding {load.samples:,} clicks into shards")
        write_shards(layout, load.log)
        found = interleaved(_sides(layout, load), load.rounds, say)
    return _figures(found, load)


def update_rate(layout: Layout, base: OpenBase, samples: int) -> float:
    """Return samples/s from committed shards to committed deltas on `base`, which must have no deltas yet."""
    worker = OnlineWorker(layout, base, TOPIC.name, 0, TrainerSettings())
    try:
        started = time.perf_counter()
        folded = worker.advance()
        seconds = time.perf_counter() - started
        committed = worker.head.body.next_ordinal if worker.head else 0
    finally:
        worker.close()
    if committed != samples or folded != samples:
        raise FreshetError(f"{folded} samples were folded, {committed} are in deltas, and {samples} are in shards")
    return folded / seconds


def fold_rate(base: OpenBase, load: Load) -> float:
    """Return samples/s of the fold alone: full blocks, made beforehand, one after the other."""
    fold, common = BlockFold(base), base.common
    size = base.manifest.online.block_samples
    ready = list(blocks(base, load.log, load.samples // size))
    with torch.no_grad():
        started = time.perf_counter()
        for block in ready:
            common = fold.step(block, common).common
        return len(ready) * size / (time.perf_counter() - started)


def _sides(layout: Layout, load: Load) -> dict[str, Callable[[], float]]:
    log, numbers = load.log, itertools.count(1)
    base = write_base(layout, log, "fold")
    clicks = plain_clicks(base, log, load.peer_samples)
    torch.manual_seed(log.seed)
    ours: dict[str, Callable[[], float]] = {
        "update": lambda: update_rate(
            layout, write_base(layout, log, f"update-{next(numbers)}"), load.samples + WARM_UP
        ),
        "fold": lambda: fold_rate(base, load),
    }
    return ours | {_peer(batch): _torch_side(clicks, batch) for batch in BATCHES}


def _torch_side(clicks: Clicks, batch: int) -> Callable[[], float]:
    return lambda: torch_rate(clicks, batch)


def _peer(batch: int) -> str:
    return f"torch loop, batch {batch}"


def _figures(found: dict[str, list[float]], load: Load) -> list[Figure]:
    best = max(BATCHES, key=lambda batch: median(found[_peer(batch)]))
    online = TrainerSettings().online
    negatives = f"{online.negatives} negatives" if online.negatives else f"full softmax over {load.log.items:,} items"
    peers = "; ".join(f"batch {batch}: {spread(found[_peer(batch)])}" for batch in BATCHES)
    peer = (
        f"Peer: nn.Embedding(sparse=True) and Adagrad, {NEGATIVES:,} shared negatives, positions given, nothing scored "
        f"or kept, at its best batch, {best} ({peers})."
    )
    ours = (
        f"Ours: d = {WIDTH}, {negatives}, blocks of {online.block_samples}, {online.common_steps} common steps and an "
        f"own one, {load.samples:,} samples at {SAMPLES_PER_HOUR:,} an hour"
    )
    machine, theirs = this_machine(), found[_peer(best)]
    whole = f"{ours}; reading, decoding, scoring of both arms and commits with fsync included. {peer}"
    alone = f"{ours}, as full blocks made beforehand; nothing but the two kinds of steps. {peer}"
    return [
        compared(UPDATE, found["update"], theirs, machine, whole),
        compared(FOLD, found["fold"], theirs, machine, alone),
    ]
