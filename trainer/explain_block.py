"""What one block of the online update did to one user's row: each click's own part of the step, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contracts.arrays import Floats
from contracts.bases import OpenBase
from trainer.block_fold import Block, BlockFold, Stepped
from trainer.block_input import EncodedBlock
from trainer.block_learner import BURST, COMMON, CONTEXT, ROW, BlockLearner, Start, Tools
from trainer.explanation import LEARNED, NOT_ADMITTED, SET_ASIDE, TREND_ONLY, Fit
from trainer.shard_feed import SampleColumns
from trainer.towers import queries


@dataclass(frozen=True)
class UserBlock:
    """What one block did to the row. One entry for each of the user's n clicks in it, but for `before` and `after`.

    `outcomes`: what became of each, and the guard that set it aside. `parts`: float32 [n, d], its own part of the step;
    they sum to `after` - `before`, unless `capped`. `before`, `after`: float32 [d], the own row, zeros for none.
    `vectors`: float32 [n, d], of the clicked items; zeros for one without. `clicks_waiting`: clicks counted towards
    admission after the block, 0 for a user with a row; `admitted`: the row was given in this block.
    """

    first_ordinal: int
    ordinals: list[int]
    outcomes: list[tuple[str, str]]
    parts: Floats
    before: Floats
    after: Floats
    vectors: Floats
    fits: list[Fit | None]
    clicks_waiting: int
    admitted: bool
    capped: bool


class WatchedFold(BlockFold):
    """The arithmetic of the online update; keeps the last block that made a step."""

    last: tuple[Block, Stepped] | None = None

    def step(self, block: Block, common: Floats) -> Stepped:
        """Return the rows after `block`, and remember both."""
        stepped = super().step(block, common)
        self.last = block, stepped
        return stepped


class Watch:
    """Folds blocks as the online worker does and notes what they do to one user's row."""

    def __init__(self, base: OpenBase, partition: int, user: str) -> None:
        self.fold = WatchedFold(base, base.manifest.online)
        self._tools = replace(Tools.of(base, partition, 1), fold=self.fold)
        self.learner = BlockLearner(
            base, self._tools.name, self.fold, Start(None, base.manifest.cut_watermark, base.trend)
        )
        self._base, self._user, self._waited = base, user, 0

    def learn(self, samples: SampleColumns) -> UserBlock | None:
        """Learn a block; return what it did to the user's row, None for a block without a click of theirs."""
        self.fold.last = None
        block = self._tools.encoder.encode(samples)
        if self._user not in block.users:
            self.learner.learn(block)
            return None
        whose = block.users.index(self._user)
        at = [n for n, user in enumerate(block.user_at[: len(samples)].tolist()) if user == whose]
        rows, had_row = self.learner.rows, self._has_row()
        before, offset = rows.own(rows.slots([self._user]))[0], self._offset(int(samples.watermarks[0]))
        self.learner.learn(block)
        after, has_row = rows.own(rows.slots([self._user]))[0], self._has_row()
        self._waited = 0 if has_row else self._waited + len(at)
        parts, capped = self._parts(at, before)
        known = block.known[at][:, None]
        return UserBlock(
            first_ordinal=samples.first_ordinal,
            ordinals=[samples.first_ordinal + n for n in at],
            outcomes=[self._outcome(block, n, has_row) for n in at],
            parts=parts if has_row else np.zeros_like(parts),
            before=before,
            after=after,
            vectors=np.where(known, self._base.items.vectors[block.targets[at]], np.float32(0)),
            fits=[self._fit(block, n, np.stack([before, after]), offset) for n in at],
            clicks_waiting=self._waited,
            admitted=has_row and not had_row,
            capped=capped and has_row,
        )

    def _has_row(self) -> bool:
        return self.learner.rows.slots([self._user])[0] >= 0

    def _offset(self, now: int) -> Floats:
        """Return the part of the scores that depends on no row, float32 [N], before the block is counted."""
        trend, bias = self.learner.trend, self._base.items.biases.astype(np.float64)
        prior = trend.term(trend.clicks(now))
        return np.asarray(self._base.manifest.online.bias_weight * bias + prior, dtype=np.float32)

    def _outcome(self, block: EncodedBlock, at: int, has_row: bool) -> tuple[str, str]:
        """Return what became of a click, as the tally of the online update counts it, and which guard met it."""
        if not block.known[at]:
            return TREND_ONLY, ""
        if not block.usable[at]:
            return SET_ASIDE, CONTEXT
        if self.fold.last is None or not self.fold.last[0].learns[at]:
            return SET_ASIDE, BURST
        _, stepped = self.fold.last
        if not stepped.common_finite:
            return SET_ASIDE, COMMON
        if not stepped.finite[block.user_at[at]]:
            return SET_ASIDE, ROW
        return (LEARNED if has_row else NOT_ADMITTED), ""

    def _parts(self, at: list[int], before: Floats) -> tuple[Floats, bool]:
        """Return each click's own part of the step, float32 [n, d], and whether the cap on the norm cut their sum."""
        settings, nothing = self.fold.settings, np.zeros((len(at), len(before)), np.float32)
        if self.fold.last is None or not settings.own_step:
            return nothing, False
        block, stepped = self.fold.last
        if not (stepped.common_finite and stepped.finite[block.user_at[at[0]]]):
            return nothing, False
        gradients = self.fold.gradients(block, stepped.common, settings.learning_temperature)[at]
        parts = np.where(block.learns[at][:, None], gradients * np.float32(-settings.own_step), np.float32(0))
        return parts, float(np.linalg.norm(before + parts.sum(axis=0))) > settings.norm_cap

    def _fit(self, block: EncodedBlock, at: int, own: Floats, offset: Floats) -> Fit | None:
        """Return how the item of a click stood with each of two own rows, float32 [2, d]."""
        if not block.usable[at]:
            return None
        h = self.learner.rows.common + own + block.context[at]
        scores = queries(h, self._base.manifest.towers) @ self._base.items.vectors.T + offset
        clicked = scores[:, block.targets[at]]
        before, after = np.count_nonzero(scores >= clicked[:, None], axis=1).tolist()
        return Fit(float(clicked[0]), float(clicked[1]), before, after)
