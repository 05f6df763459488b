"""One block through: encode, score with the newest delta, learn, count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.validation import BlockScore
from trainer.block_fold import Block, BlockFold
from trainer.block_input import BlockEncoder, EncodedBlock
from trainer.progressive import BlockScorer, Served
from trainer.shard_feed import SampleColumns
from trainer.user_rows import OnlineRows, TrendCounts


@dataclass(frozen=True)
class Tools:
    """What folds blocks on one base and holds no state."""

    base: OpenBase
    name: str
    encoder: BlockEncoder
    fold: BlockFold
    scorer: BlockScorer

    @classmethod
    def of(cls, base: OpenBase, partition: int, k: int) -> Self:
        """Return the tools for one (base, partition); `k`: how many answers progressive validation looks at."""
        name = f"{base.digest}/{partition}"
        return cls(base, name, BlockEncoder(base), BlockFold(base), BlockScorer(base, partition, k))


@dataclass
class Tally:
    """What was folded since the last delta; `samples` = `learned` + `trend_only` + `set_aside`."""

    samples: int = 0
    learned: int = 0
    trend_only: int = 0
    set_aside: int = 0
    first_event_time: int = 0
    last_event_time: int = 0

    def add(self, block: SampleColumns, learned: int, trend_only: int) -> None:
        """Count a block."""
        first, last = int(block.click_times.min()), int(block.click_times.max())
        self.first_event_time = min(first, self.first_event_time) if self.samples else first
        self.last_event_time = max(last, self.last_event_time)
        self.samples += len(block)
        self.learned += learned
        self.trend_only += trend_only
        self.set_aside += len(block) - learned - trend_only


class BlockLearner:
    """Moves the rows of one (base, partition), block by block. Call `commit` when `rows.fresh` is in a delta."""

    def __init__(self, tools: Tools, rows: OnlineRows) -> None:
        self._tools, self._rows = tools, rows
        self._trend = TrendCounts(tools.base, rows)
        self.tally, self.scores = Tally(), list[BlockScore]()

    def learn(self, samples: SampleColumns, served: Served) -> None:
        """Score the block with `served` and with the frozen base, then learn it (offsets frozen within)."""
        block = self._tools.encoder.encode(samples)
        self.scores += self._tools.scorer.score(block, self._rows, self._trend, served)
        own, learned = self._stepped(block)
        self._note_clicks(block, own)
        for item, time in zip(samples.items, samples.click_times.tolist(), strict=True):
            self._trend.add(item, time)
        self.tally.add(samples, learned, int((~block.known[: len(samples)]).sum()))

    def commit(self) -> None:
        """The fresh changes are in a delta: start the next interval."""
        self._rows.commit()
        self._trend.commit()
        self.tally, self.scores = Tally(), []

    def _stepped(self, block: EncodedBlock) -> tuple[Floats, int]:
        """Move the common row; return the own rows to be, float32 [users, d], and how many samples made a step.

        What would not be finite stays as it was.
        """
        before = self._rows.own([self._rows.row(user) for user in block.users])
        if not block.usable.any():
            return before, 0
        stepped = self._tools.fold.step(self._block(block, before), self._rows.common)
        if not stepped.common_finite:
            return before, 0
        learned = int((block.usable & stepped.finite[block.user_at]).sum())
        self._rows.move_common(stepped.common, learned)
        return np.where(stepped.finite[:, None], stepped.own, before), learned

    def _block(self, block: EncodedBlock, own: Floats) -> Block:
        tools, online = self._tools, self._tools.base.manifest.online
        clicks = self._trend.clicks(int(block.samples.watermarks[0]))
        offset = online.bias_weight * tools.base.items.biases.astype(np.float64) + self._trend.term(clicks)
        return Block(
            name=tools.name,
            ordinal=block.samples.first_ordinal,
            context=block.context,
            user_at=torch.from_numpy(block.user_at),
            targets=torch.from_numpy(block.targets),
            learns=torch.from_numpy(block.usable),
            own=own,
            weights=clicks + online.floor,
            offset=torch.tensor(offset.astype(np.float32)),
        )

    def _note_clicks(self, block: EncodedBlock, own: Floats) -> None:
        clicks: list[list[tuple[str, int]]] = [[] for _ in block.users]
        samples = block.samples
        for at, item, time in zip(block.user_at.tolist(), samples.items, samples.click_times.tolist(), strict=False):
            clicks[at].append((item, time))
        for user, row, found in zip(block.users, own, clicks, strict=True):
            self._rows.clicked(user, row, found)
