"""Headline figure: samples/s of the online update on one thread, against a plain torch loop at its best batch size.

Two figures of ours: from decoded samples to committed rows (encode, learn, commit deltas with fsync, state DB and all),
beside the loop with shared negatives and the one with in-batch negatives; and the whole of a worker, which also reads
and decodes shards and scores every block with what is served and with the frozen base before it learns it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
import torch

from benchmarks.click_log import WARM_UP, ClickLog
from benchmarks.figures import Comparison, Figure, compared, spread, this_machine
from benchmarks.online_input import TOPIC, WIDTH, decoded, plain_clicks, write_base, write_shards
from benchmarks.rounds import Say, interleaved
from benchmarks.scratch import scratch_folder
from benchmarks.torch_loop import BATCHES, NEGATIVES, Clicks, in_batch_rate, torch_rate
from contracts import commit, deltas
from contracts.bases import OpenBase
from contracts.collector import collect_seldom
from contracts.commit import Committer
from contracts.deltas import Delta
from contracts.errors import FreshetError
from contracts.layout import Layout
from trainer.block_fold import BlockFold
from trainer.block_input import BlockEncoder
from trainer.block_learner import BlockLearner, Start
from trainer.delta_content import body, content
from trainer.one_thread import one_thread
from trainer.online import OnlineWorker
from trainer.settings import TrainerSettings
from trainer.shard_feed import SampleColumns

SAMPLES_PER_HOUR = 10_000  # of the log's own time, in the one topic-partition
HOUR_MS = 3_600_000
INTERVAL_MS = 1_800_000
PEER = "plain torch loop"
IN_BATCH_PEER = "plain torch loop, in-batch negatives, batch 4,096"
FROM_SAMPLES = "online update from decoded samples to committed rows, one thread"
ROWS = Comparison(FROM_SAMPLES, "samples/s", PEER, 1.0, 3.0)
IN_BATCH = Comparison(FROM_SAMPLES, "samples/s", IN_BATCH_PEER, 5.0)
LARGE = 256
ROWS_LARGE, IN_BATCH_LARGE = (
    msgspec.structs.replace(each, figure=f"{FROM_SAMPLES}, blocks of {LARGE}") for each in (ROWS, IN_BATCH)
)
UPDATE = Comparison("online worker, scoring of every block included, one thread", "samples/s", PEER)
REBASE = Comparison(
    "highest rate of clicks at which a rebase at noon catches up in 30 minutes, one thread",
    "samples/s",
    "the online worker folding on",
)
CATCHING_UP = 0.5 / (12 + 0.5)  # half an hour of folding is worth twelve hours of clicks and those that come meanwhile


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
    collect_seldom()  # as the worker does; for the peer as well
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


def rows_rate(layout: Layout, base: OpenBase, blocks: Sequence[SampleColumns]) -> float:
    """Return samples/s from decoded samples to committed deltas on `base`, which must have no deltas yet."""
    encoder, fold = BlockEncoder(base), BlockFold(base, base.manifest.online)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    committer, _ = commit.recover("deltas", chain, layout.trainer_state(base.manifest.base_id, 0))
    started = time.perf_counter()
    learner = BlockLearner(base, "benchmark", fold, Start(None, base.manifest.cut_watermark, base.trend))
    boundary = int(blocks[0].watermarks[0]) // INTERVAL_MS * INTERVAL_MS + INTERVAL_MS
    for block in blocks:
        while int(block.watermarks[0]) >= boundary:
            commit_fresh(committer, learner, base, (block.first_ordinal, boundary))
            boundary += INTERVAL_MS
        learner.learn(encoder.encode(block))
    commit_fresh(committer, learner, base, (blocks[-1].next_ordinal, boundary))
    seconds = time.perf_counter() - started
    committer.state.close()
    return sum(map(len, blocks)) / seconds


def commit_fresh(committer: Committer[Delta], learner: BlockLearner, base: OpenBase, reached: tuple[int, int]) -> None:
    """Commit what a learner has learned as the worker does; `reached`: the next ordinal and the boundary (ms)."""
    found = content(learner, reached[1])
    made = body(base, 0, reached, learner, len(found.rows))
    committer.commit(made, {deltas.ROWS: found.data}, (found.keys,))
    learner.commit()


def _sides(layout: Layout, load: Load) -> dict[str, Callable[[], float]]:
    log, numbers = load.log, itertools.count(1)
    base = write_base(layout, log, "fold")
    clicks, blocks = plain_clicks(base, log, load.peer_samples), decoded(base, log, load.peer_samples)
    large = decoded(write_base(layout, log, "large", LARGE), log, load.peer_samples)
    torch.manual_seed(log.seed)
    ours: dict[str, Callable[[], float]] = {
        "update": lambda: update_rate(
            layout, write_base(layout, log, f"update-{next(numbers)}"), load.samples + WARM_UP
        ),
        "rows": lambda: rows_rate(layout, write_base(layout, log, f"rows-{next(numbers)}"), blocks),
        "large": lambda: rows_rate(layout, write_base(layout, log, f"large-{next(numbers)}", LARGE), large),
        "in batch": lambda: in_batch_rate(clicks, 4096),
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
        f"own one, at {SAMPLES_PER_HOUR:,} samples an hour of the log, a delta each half hour of it, fsync and all"
    )
    machine, theirs = this_machine(), found[_peer(best)]
    in_batch = f"Peer: the same loop, a batch of 4,096 being its own negatives. {ours}"
    whole = f"{ours}; reading, decoding and scoring of both arms included. {peer}"
    return [
        compared(ROWS, found["rows"], theirs, machine, f"{ours}. {peer}"),
        compared(IN_BATCH, found["rows"], found["in batch"], machine, in_batch),
        compared(ROWS_LARGE, found["large"], theirs, machine, f"{ours}; but blocks of {LARGE}. {peer}"),
        compared(IN_BATCH_LARGE, found["large"], found["in batch"], machine, f"{in_batch}; but blocks of {LARGE}"),
        compared(UPDATE, found["update"], theirs, machine, whole),
        compared(
            REBASE,
            [rate * CATCHING_UP for rate in found["update"]],
            found["update"],
            machine,
            "The samples of twelve hours, and those that come in the meantime, are folded onto the new base.",
        ),
    ]
