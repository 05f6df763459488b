"""The arithmetic of one block: SGD on the common row and on own rows, everything else frozen.

    h_j = e_common + e_{u_j} + MLP(c_j)
    g_j = softmax(q(h_j) V' + o) V - v_{i_j}                 e_common -= step * mean_j g_j      (common_steps times)
    g_j = (softmax((q(h_j) V' + o) / T) V - v_{i_j}) / T     e_u      -= step * sum of g_j over the user's samples

q is the identity (dot) or h / |h| / temperature (cosine), through which the gradient is pulled back. o holds the bias
and the trend prior. V are all items or drawn ones, corrected by logQ, beside each sample's own clicked item.

H V' is computed once: while the common row moves, all dot products move by one and the same vector. And the common row
needs but a weighted sum of softmaxes, not one gradient per sample: one product of matrices per block, a second one for
own rows. Shapes are fixed by the settings (short blocks are padded), so a block gives the same bits wherever it is
folded on one build and CPU family; run it under `one_thread`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from contracts.arrays import Flags, Floats, Integers
from contracts.bases import OnlineSettings, OpenBase, Towers
from trainer.towers import TINY

NEVER = np.float32(-1e30)
LARGEST = np.float32(1e12)
MOST_BOUND = 20.0  # e^-40 is a float32 still


class Rivals(NamedTuple):
    """The items that the clicked ones compete with, M of them; shared by a block.

    `at`: int64 [M], positions, ascending, each once. `vectors`: float32 [M, d]. `log_expected`: float32 [M], the log of
    how often each is expected, over how often it was drawn (0 where every item is there once).
    """

    at: Integers
    vectors: Floats
    log_expected: Floats


@dataclass(frozen=True)
class Block:
    """One block, padded to B = block_samples; U = its users, at most B.

    `context`: MLP(context), float32 [B, d]. `user_at`: int64 [B], positions among its users. `targets`: int64 [B],
    positions of the clicked items. `learns`: bool [B], false for padding and for samples that make no step. `own`:
    float32 [U, d], own rows before the block. `offset`: float32 [M], `target_offset`: float32 [B], the part of the
    score that does not depend on the user, of the rivals and of the clicked items.
    """

    context: Floats
    user_at: Integers
    targets: Integers
    learns: Flags
    own: Floats
    rivals: Rivals
    offset: Floats
    target_offset: Floats


@dataclass(frozen=True)
class Stepped:
    """The rows after a block: `common` float32 [d], `own` float32 [U, d]; `finite`: bool [U], where own may be used.

    `common_finite` false: the whole block must be set aside.
    """

    common: Floats
    own: Floats
    finite: Flags
    common_finite: bool


class BlockFold:
    """Learns blocks on one base; holds its frozen item side and no state."""

    def __init__(self, base: OpenBase, settings: OnlineSettings) -> None:
        self.settings = settings
        self._towers: Towers = base.manifest.towers
        self._vectors = base.items.vectors
        longest = float(np.sqrt(np.vecdot(self._vectors, self._vectors).max(initial=0.0)))
        at_most = longest / self._towers.temperature if self._towers.score == "cosine" else np.inf
        self._bound = np.float32(at_most) if at_most <= MOST_BOUND else None

    def step(self, block: Block, common: Floats) -> Stepped:
        """Return the rows after `block`, which were `common` and `block.own` before it. Nothing is changed in place."""
        settings = self.settings
        with np.errstate(over="ignore", invalid="ignore"):
            scene = self._scene(block, common)
            row = common
            if settings.common_step:
                for _ in range(settings.common_steps):
                    moved = np.float32(-settings.common_step) * scene.mean_gradient()
                    row = row + moved
                    scene.move(moved)
            own = self._own(block, scene) if settings.own_step else block.own
            finite: Flags = np.isfinite(own).min(axis=1)
            return Stepped(row, own, finite, bool(np.isfinite(row).all()))

    def gradients(self, block: Block, common: Floats, temperature: float) -> Floats:
        """Return the gradient at h, float32 [B, d], of each sample's loss with logits divided by `temperature`."""
        return self._scene(block, common).gradients(temperature)

    def _scene(self, block: Block, common: Floats) -> _Scene:
        return _Scene(block, self._vectors[block.targets], common, self._towers, self._bound)

    def _own(self, block: Block, scene: _Scene) -> Floats:
        settings, users = self.settings, len(block.own)
        gradients = scene.gradients(settings.learning_temperature)
        whose = np.zeros((len(block.targets), len(block.targets)), np.float32)
        whose[block.user_at, np.arange(len(block.targets))] = scene.learns
        moved = block.own - np.float32(settings.own_step) * (whose @ gradients)[:users]
        length = np.sqrt(np.vecdot(moved, moved))[:, None]
        cap = np.float32(settings.norm_cap)
        return np.where(length > cap, moved * (cap / np.maximum(length, cap)), moved)


class _Scene:
    """A block's samples against their rivals, as the common row moves.

    `_dots`: float32 [B, M], h . v of the rivals, NEVER where the rival is the clicked item. `_clicked`: float32 [B].
    Samples whose h is not finite are taken out of `learns`. `bound`: no q . v is larger (None: that is not known).
    """

    def __init__(
        self, block: Block, target_vectors: Floats, common: Floats, towers: Towers, bound: np.float32 | None
    ) -> None:
        self._block, self._targets, self._towers, self._bound = block, target_vectors, towers, bound
        self._ones = np.ones(len(block.rivals.at), np.float32)
        h = common + block.own[block.user_at] + block.context
        sound = np.vecdot(h, h) < LARGEST
        self.learns: Flags = block.learns & sound
        self._h: Floats = np.where(sound[:, None], h, np.float32(0))
        self._dots: Floats = self._h @ block.rivals.vectors.T
        among = np.minimum(np.searchsorted(block.rivals.at, block.targets), len(block.rivals.at) - 1)
        itself = np.flatnonzero(block.rivals.at[among] == block.targets)
        self._dots[itself, among[itself]] = NEVER
        self._clicked: Floats = np.vecdot(self._h, target_vectors)

    def move(self, delta: Floats) -> None:
        """Let the common row, and with it every h, move by `delta`, float32 [d]."""
        self._h += delta
        self._dots += self._block.rivals.vectors @ delta
        self._clicked += self._targets @ delta

    def mean_gradient(self) -> Floats:
        """Return the mean gradient at h, float32 [d], of the samples that learn."""
        block, (scale, length) = self._block, self._scale()
        count = np.float32(max(int(np.count_nonzero(self.learns)), 1))
        weight = np.asarray(np.where(self.learns, scale / count, 0), dtype=np.float32)
        chances, clicked, total = self._softmax(1.0, scale)
        rivals = ((weight / total) @ chances) @ block.rivals.vectors
        gradient = rivals + (weight * (clicked / total - 1)) @ self._targets
        if self._towers.score == "cosine":
            along = weight * self._along(chances, clicked, total, length) / length
            gradient = gradient - along @ self._h
        return np.asarray(gradient, dtype=np.float32)

    def gradients(self, temperature: float) -> Floats:
        """Return the gradient at h of each sample, float32 [B, d]; logits divided by `temperature`."""
        scale, length = self._scale()
        chances, clicked, total = self._softmax(temperature, scale)
        gradient: Floats = chances @ self._block.rivals.vectors
        gradient += (clicked - total)[:, None] * self._targets
        gradient *= (scale / total / np.float32(temperature))[:, None]
        if self._towers.score == "cosine":
            along = self._along(chances, clicked, total, length) * (scale / np.float32(temperature))
            gradient -= (along / length)[:, None] * self._h
        return gradient

    def _scale(self) -> tuple[Floats, Floats]:
        """Return dq/dh across h, and |h|, float32 [B] each."""
        if self._towers.score == "dot":
            ones = np.ones(len(self._h), np.float32)
            return ones, ones
        length = np.maximum(np.sqrt(np.vecdot(self._h, self._h)), np.float32(TINY))
        return 1 / (length * np.float32(self._towers.temperature)), length

    def _softmax(self, temperature: float, scale: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the chances of the rivals, [B, M], and of the clicked item, [B], not yet divided by their sum, [B]."""
        block, by = self._block, np.float32(1 / temperature)
        logits = self._dots * (scale * by)[:, None]
        clicked = self._clicked * (scale * by) + block.target_offset * by
        offset = block.offset * by - block.rivals.log_expected
        if self._bound is None:
            logits += offset
            top = np.maximum(logits.max(axis=1), clicked)
            logits -= top[:, None]
        else:  # one for all samples, and never far above what is largest
            top = self._bound * by + max(offset.max(), (block.target_offset * by).max())
            logits += offset - top
        chances: Floats = np.exp(logits, out=logits)
        clicked = np.exp(clicked - top)
        return chances, clicked, chances @ self._ones + clicked

    def _along(self, chances: Floats, clicked: Floats, total: Floats, length: Floats) -> Floats:
        """Return the part of the gradient at q along h, float32 [B]."""
        expected = np.vecdot(chances, self._dots) + clicked * self._clicked
        return np.asarray((expected / total - self._clicked) / length, dtype=np.float32)


def every(vectors: Floats) -> Rivals:
    """Return all items as rivals: the softmax over everything."""
    return Rivals(np.arange(len(vectors)), vectors, np.zeros(len(vectors), np.float32))
