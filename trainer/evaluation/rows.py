"""The arms that are Freshet's own: a frozen base, and rows and trend counts that learn on it during the day.

They fold with the very classes of the online worker, and answer as serving does: known users with their own row on the
common row of their partition, everybody else with the average of all, and the trend counts of all partitions together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from contracts.arrays import Doubles, Floats, Integers
from contracts.bases import OnlineSettings, OpenBase
from contracts.rows import mean_common
from contracts.trend import decayed, prior
from trainer.block_fold import BlockFold
from trainer.block_learner import BlockLearner, Start
from trainer.cut_state import TrendState
from trainer.evaluation.clicks import Asked, Clicks
from trainer.evaluation.day import Folding, LogDay
from trainer.negatives import numbers_of
from trainer.text_codes import TextCodes
from trainer.towers import queries


@dataclass(frozen=True)
class Ground:
    """What all arms of one base share: the base, the day, how it is folded onto the base, and the day before it."""

    base: OpenBase
    day: LogDay
    folding: Folding
    before: LogDay

    def trend_at_cut(self, half_life_ms: int) -> dict[str, float]:
        """Return the forward-decayed clicks at the base's cut with this half-life: what the day before leaves."""
        items, samples = TextCodes(), self.before.samples
        state = TrendState(None, items, half_life_ms, self.base.manifest.trend_t0)
        state.add(items.of(samples.items), samples.click_times)
        return state.counts(least=0.0)

    def scaled(self, own_scale: float) -> Ground:
        """Return the same with own rows of the base times `own_scale`."""
        return replace(self, base=self.base.told(own_scale=own_scale))

    def sharpened(self, factor: float) -> Ground:
        """Return the same with all scores of the base, user . item and biases, times `factor`."""
        if factor == 1.0:
            return self
        base, times = self.base, np.float32(factor)
        towers, own_scale, common, folding = base.manifest.towers, base.manifest.own_scale, base.common, self.folding
        if towers.score == "cosine":
            towers = msgspec.structs.replace(towers, temperature=towers.temperature / factor)
        else:
            own_scale, common, folding = own_scale * factor, common * times, folding.lengthened(times)
        told = base.told(towers=towers, own_scale=own_scale)
        vars(told).update(common=common, items=replace(base.items, biases=base.items.biases * times))
        return replace(self, base=told, folding=folding)


class FrozenRows:
    """The base as the night left it: score = user . item + bias."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._base = ground, ground.base
        self._turned = np.ascontiguousarray(self._base.items.vectors.T)
        self._zero = np.zeros(self._base.manifest.towers.width, np.float32)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        rows, users = self._base.rows, self._ground.day.samples.users
        at = np.array([rows.position(users[place]) for place in asked.at.tolist()], dtype=np.int64)
        own = np.where((at >= 0)[:, None], rows.own[at], self._zero) if len(rows) else self._zero
        z = self._base.common + own + self._ground.folding.contexts[asked.at]
        found: Floats = queries(z, self._base.manifest.towers) @ self._turned
        found += self._base.items.biases
        return found

    def learn(self, clicks: Clicks) -> None:
        """Nothing is learned."""


class LearningRows:
    """Rows and trend counts that learn block by block, and are published at the end of every window.

    `learners`: one for each partition.
    """

    def __init__(self, ground: Ground, settings: OnlineSettings) -> None:
        self._ground, self._settings = ground, settings
        base, partitions = ground.base, ground.folding.partitions
        self._base = base.told(partitions=partitions, online=settings)
        fold = BlockFold(self._base, settings)
        start = Start(None, base.manifest.cut_watermark, ground.trend_at_cut(settings.half_life_ms))
        names = [f"{base.digest}/{partition}" for partition in range(partitions)]
        self.learners = [BlockLearner(self._base, name, fold, start) for name in names]
        self._turned = np.ascontiguousarray(base.items.vectors.T)
        self._next_window = 0

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates], of the state at the end of the window before."""
        z = self._id_embeddings(asked.at) + self._ground.folding.contexts[asked.at]
        found: Floats = queries(z, self._base.manifest.towers) @ self._turned
        found += self._offset(asked.now).astype(np.float32)
        return found

    def learn(self, clicks: Clicks) -> None:
        """Fold the blocks of the window, which is the next one, and publish."""
        for placed in self._ground.folding.windows[self._next_window]:
            self.learners[placed.partition].learn(placed.block)
        for learner in self.learners:
            learner.commit()
        self._next_window += 1

    def _id_embeddings(self, at: Integers) -> Floats:
        users = self._ground.day.samples.users
        average = self._average()
        found = np.empty((len(at), len(average)), np.float32)
        homes = self._ground.folding.homes[at].tolist()
        for row, (place, home) in enumerate(zip(at.tolist(), homes, strict=True)):
            rows = self.learners[home].rows
            shown = rows.shown(users[place])
            found[row] = average if shown is None else rows.shown_common + shown.own
        return found

    def _average(self) -> Floats:
        """Return the mean of the partitions' common rows, weighted by samples: that of users without a row."""
        rows = [learner.rows for learner in self.learners]
        return mean_common([r.shown_common for r in rows], [r.common_samples for r in rows], self._base.common)

    def _offset(self, now: int) -> Doubles:
        settings, manifest = self._settings, self._base.manifest
        counts = self.learners[0].trend.at_cut + sum(learner.trend.own_counts() for learner in self.learners)
        clicks = decayed(counts, now, manifest.trend_t0, settings.half_life_ms)
        bias = settings.bias_weight * self._base.items.biases.astype(np.float64)
        return bias + prior(clicks, settings.beta, settings.floor)


def swapped(folding: Folding, seed: int) -> Folding:
    """Return the control SWAP: in each block the clicks, contexts and all, are dealt out anew among its users.

    What is learned all the same belongs to everybody, not to the user whose row it is.
    """

    def dealt(number: int, window: int) -> Integers:
        block = folding.windows[window][number].block
        count = len(block.samples)
        order = numbers_of(f"swap {seed} {window}", number).permutation(count)
        user_at = block.user_at.copy()
        user_at[:count] = block.user_at[:count][order]
        return user_at

    windows = tuple(
        tuple(
            replace(placed, block=replace(placed.block, user_at=dealt(number, window)))
            for number, placed in enumerate(blocks)
        )
        for window, blocks in enumerate(folding.windows)
    )
    return replace(folding, windows=windows)
