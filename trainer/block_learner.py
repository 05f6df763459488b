"""One block through: encode, score with the newest delta, learn, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from contracts.arrays import Flags, Floats, Integers
from contracts.bases import OnlineSettings, OpenBase
from contracts.deltas import Changes
from contracts.drift import Drift
from contracts.rows import RowTable
from contracts.validation import BlockScore
from trainer.block_fold import Block, BlockFold
from trainer.block_input import BlockEncoder, EncodedBlock
from trainer.drift import DriftMeter, Interval, IntervalContexts
from trainer.online_negatives import BucketSampler
from trainer.progressive import BlockScorer, Served
from trainer.shard_feed import SampleColumns
from trainer.trend_counts import TrendCounts
from trainer.user_rows import NOBODY, OnlineRows

CONTEXT, BURST, ROW, COMMON = "context", "burst", "row", "common row"


@dataclass(frozen=True)
class Tools:
    """What folds blocks on one base and holds no state."""

    base: OpenBase
    name: str
    encoder: BlockEncoder
    fold: BlockFold
    scorer: BlockScorer
    drift: DriftMeter

    @classmethod
    def of(cls, base: OpenBase, partition: int, k: int) -> Self:
        """Return the tools for one (base, partition); `k`: how many answers progressive validation looks at."""
        name, online = f"{base.digest}/{partition}", base.manifest.online
        scorer, meter = BlockScorer(base, partition, k), DriftMeter(base, partition)
        return cls(base, name, BlockEncoder(base), BlockFold(base, online), scorer, meter)


@dataclass
class Tally:
    """What was folded since the last delta; `samples` = `learned` + `trend_only` + the sum of `set_aside`, by reason.

    Reasons: `context` (its vector is not finite, or too large), `burst` (more clicks of one user in one block than a
    person makes), `row` (the user's row would not be finite), `common row` (nor would the common row: the whole block).
    """

    samples: int = 0
    learned: int = 0
    trend_only: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    first_event_time: int = 0
    last_event_time: int = 0

    def add(self, block: SampleColumns) -> None:
        """Count a block's samples."""
        first, last = int(block.click_times.min()), int(block.click_times.max())
        self.first_event_time = min(first, self.first_event_time) if self.samples else first
        self.last_event_time = max(last, self.last_event_time)
        self.samples += len(block)


@dataclass(frozen=True)
class Start:
    """Where folding begins: at a boundary (ms), with what was committed until then, on the trend counts at the cut."""

    committed: Changes | None
    boundary: int
    at_cut: Mapping[str, float]


class BlockLearner:
    """Moves the rows and trend counts of one (base, partition), block by block.

    `learn` is for blocks in their order; call `commit` when what is fresh is in a delta. The same state comes out
    wherever the samples were cut into shards, and whenever a process died, as long as folding begins at a boundary.
    """

    def __init__(self, base: OpenBase, name: str, fold: BlockFold, start: Start) -> None:
        self._base, self._fold, self._online = base, fold, fold.settings
        self.rows = OnlineRows(base, start.committed, start.boundary)
        committed = start.committed.trend if start.committed else {}
        self.trend = TrendCounts(base, self.rows.items, start.at_cut, committed)
        self._sampler = BucketSampler(base, name, self._online)
        self.tally = Tally()

    def learn(self, block: EncodedBlock) -> None:
        """Learn a block: offsets and rows are frozen within."""
        self.tally.add(block.samples)
        count = len(block.samples)
        codes, times = self.rows.items.of(block.samples.items), block.samples.click_times
        slots = self.rows.slots(block.users)
        own = self._stepped(block, self.rows.own(slots))
        at = block.user_at[:count].tolist()
        if NOBODY in slots:
            self.rows.admit(block.users, slots, np.bincount(at, minlength=len(slots)).tolist())
        self.rows.write(slots, own)
        self.rows.clicked([slots[user] for user in at], codes, times)
        self.trend.add(codes, times)

    def commit(self) -> None:
        """The fresh changes are in a delta: start the next interval."""
        self.rows.commit()
        self.trend.commit()
        self.tally = Tally()

    def _stepped(self, block: EncodedBlock, before: Floats) -> Floats:
        """Move the common row; return the own rows to be, float32 [users, d]. What would not be finite stays."""
        tally, learns = self.tally, self._guarded(block)
        tally.trend_only += int(np.count_nonzero(~block.known[: len(block.samples)]))
        if not learns.any():
            return before
        stepped = self._fold.step(self._block(block, learns, before), self.rows.common)
        count = int(np.count_nonzero(learns))
        if not stepped.common_finite:
            tally.set_aside[COMMON] += count
            return before
        learned = int(np.count_nonzero(learns & stepped.finite[block.user_at]))
        tally.learned += learned
        if learned < count:
            tally.set_aside[ROW] += count - learned
        self.rows.move_common(stepped.common, learned)
        return np.where(stepped.finite[:, None], stepped.own, before)

    def _guarded(self, block: EncodedBlock) -> Flags:
        """Return the samples that may make a step, bool [B]; the others are counted by reason."""
        real = np.zeros(len(block.known), dtype=np.bool_)
        real[: len(block.samples)] = True
        outlying = real & block.known & ~block.usable
        learns: Flags = real & block.usable
        if outlying.any():
            self.tally.set_aside[CONTEXT] += int(np.count_nonzero(outlying))
        most = self._online.most_clicks
        if len(block.samples) - len(block.users) >= most:
            seen = Counter[int]()
            for at, user in enumerate(block.user_at[: len(block.samples)].tolist()):
                seen[user] += int(learns[at])
                if learns[at] and seen[user] > most:
                    learns[at] = False
                    self.tally.set_aside[BURST] += 1
        return learns

    def _block(self, block: EncodedBlock, learns: Flags, own: Floats) -> Block:
        now = int(block.samples.watermarks[0])
        rivals = self._sampler.rivals(block.samples.first_ordinal, now, self.trend)
        offset = self._offset(rivals.at, now)
        return Block(
            context=block.context,
            user_at=block.user_at,
            targets=block.targets,
            learns=learns,
            own=own,
            rivals=rivals,
            offset=offset,
            target_offset=self._offset(block.targets, now),
        )

    def _offset(self, at: Integers, now: int) -> Floats:
        online: OnlineSettings = self._online
        bias = online.bias_weight * self._base.items.biases[at].astype(np.float64)
        return np.asarray(bias + self.trend.term(self.trend.clicks(now, at)), dtype=np.float32)


class ScoredLearner:
    """Predict, then learn: a block is scored with what is committed and with the frozen base before it is learned.

    `scores` and `drift` are of what came since the last commit.
    """

    def __init__(self, tools: Tools, start: Start) -> None:
        self._tools = tools
        self.learner = BlockLearner(tools.base, tools.name, tools.fold, start)
        self._begin()

    def learn(self, samples: SampleColumns, served: Served) -> None:
        """Score a block with `served` and with the frozen base, then learn it."""
        block = self._tools.encoder.encode(samples)
        self.scores += self._tools.scorer.score(block, self.learner.rows, self.learner.trend, served)
        self.learner.learn(block)
        self._contexts.add(block)

    def drift(self, rows: RowTable, next_ordinal: int, boundary: int) -> Drift:
        """Return the drift of what was learned since the last commit, up to a boundary (ms); `rows` are fresh."""
        learner = self.learner
        reached = next_ordinal - learner.tally.samples, next_ordinal, boundary
        clicked = learner.trend.clicked()
        return self._tools.drift.measure(Interval(*reached, learner.rows.common, rows, *clicked, self._contexts))

    def commit(self) -> None:
        """What is fresh, the scores among it, is in a delta."""
        self.learner.commit()
        self._begin()

    def _begin(self) -> None:
        manifest = self._tools.base.manifest
        self.scores = list[BlockScore]()
        self._contexts = IntervalContexts(manifest.towers.context, manifest.day_zone)
