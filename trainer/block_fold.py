"""The arithmetic of one block: SGD on the common row and on own rows, everything else frozen.

    h_j = e_common + e_{u_j} + MLP(c_j)
    g_j = softmax(q(h_j) V' + o) V - v_{i_j}                 e_common -= step * mean_j g_j      (common_steps times)
    g_j = (softmax((q(h_j) V' + o) / T) V - v_{i_j}) / T     e_u      -= step * sum of g_j over the user's samples

q is the identity (dot) or h / |h| / temperature (cosine), through which the gradient is pulled back. o holds the bias
and the trend prior. Shapes are fixed by the settings (short blocks are padded), so a block gives the same bits wherever
it is folded on one build and CPU family; run it under `one_thread`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contracts.arrays import Doubles, Floats
from contracts.bases import OnlineSettings, OpenBase, Towers
from trainer.negatives import CountSampler, numbers_of
from trainer.towers import TINY, user_vector


@dataclass(frozen=True)
class Block:
    """One block, padded to B = block_samples; U = its users.

    `name` keys its negatives. `context`: MLP(context), float32 [B, d]. `user_at`: int64 [B], positions among its users.
    `targets`: int64 [B], positions of the clicked items. `learns`: bool [B], false for padding and for samples that
    make no step. `own`: float32 [U, d], own rows before the block. `weights`: float64 [N], what negatives are drawn by.
    `offset`: float32 [N], the part of the score that does not depend on the user.
    """

    name: str
    ordinal: int
    context: Tensor
    user_at: Tensor
    targets: Tensor
    learns: Tensor
    own: Floats
    weights: Doubles
    offset: Tensor


@dataclass(frozen=True)
class Stepped:
    """The rows after a block: `common` float32 [d], `own` float32 [U, d]; `finite`: bool [U], where own may be used.

    `common_finite` false: the whole block must be set aside.
    """

    common: Floats
    own: Floats
    finite: np.ndarray[tuple[int], np.dtype[np.bool_]]
    common_finite: bool


class BlockFold:
    """Learns blocks on one base; holds its frozen item side and no state."""

    def __init__(self, base: OpenBase) -> None:
        self.settings: OnlineSettings = base.manifest.online
        self._towers: Towers = base.manifest.towers
        self._vectors = torch.tensor(base.items.vectors)

    def step(self, block: Block, common: Floats) -> Stepped:
        """Return the rows after `block`, which were `common` and `block.own` before it. Nothing is changed in place."""
        settings = self.settings
        count = max(int(block.learns.sum()), 1)
        own = torch.tensor(block.own)
        fixed = own[block.user_at] + block.context
        row = torch.tensor(common)
        for _ in range(settings.common_steps):
            mean = _usable(self.gradient(row + fixed, block, 1.0), block).sum(0) / count
            row = row - settings.common_step * mean
        stepped = self._own(block, row, own) if settings.own_step else own
        finite = torch.isfinite(stepped).all(1)
        return Stepped(row.numpy(), stepped.numpy(), finite.numpy(), bool(torch.isfinite(row).all()))

    def gradient(self, h: Tensor, block: Block, temperature: float) -> Tensor:
        """Return the gradient at h, float32 [B, d], of each sample's loss with logits divided by `temperature`."""
        q = user_vector(h, self._towers)
        sampled = self.settings.negatives > 0
        expected = self._sampled_mean(q, block, temperature) if sampled else self._mean(q, block, temperature)
        return self._pulled_back((expected - self._vectors[block.targets]) / temperature, h)

    def _own(self, block: Block, common: Tensor, own: Tensor) -> Tensor:
        h = common + own[block.user_at] + block.context
        gradient = _usable(self.gradient(h, block, self.settings.learning_temperature), block)
        summed = torch.zeros_like(own).index_add_(0, block.user_at, gradient)
        moved = own - self.settings.own_step * summed
        length = moved.norm(dim=1, keepdim=True)
        return torch.where(length > self.settings.norm_cap, moved * (self.settings.norm_cap / length), moved)

    def _mean(self, q: Tensor, block: Block, temperature: float) -> Tensor:
        """Return the mean item vector under the softmax over all items, float32 [B, d]."""
        logits = (q @ self._vectors.T + block.offset) / temperature
        return torch.softmax(logits, dim=1) @ self._vectors

    def _sampled_mean(self, q: Tensor, block: Block, temperature: float) -> Tensor:
        """Return an estimate of `_mean` from the clicked item and drawn ones: logQ, accidental hits removed."""
        sampler = CountSampler(block.weights)
        drawn = sampler.draw(numbers_of(block.name, block.ordinal), self.settings.negatives)
        at, log_expected = torch.from_numpy(drawn), torch.from_numpy(sampler.log_expected(drawn))
        vectors, clicked = self._vectors[at], self._vectors[block.targets]
        logits = (q @ vectors.T + block.offset[at]) / temperature - log_expected
        logits = logits.masked_fill(at[None, :] == block.targets[:, None], -torch.inf)
        own = ((q * clicked).sum(1) + block.offset[block.targets]) / temperature
        share = torch.softmax(torch.cat([own[:, None], logits], dim=1), dim=1)
        return share[:, :1] * clicked + share[:, 1:] @ vectors

    def _pulled_back(self, gradient: Tensor, h: Tensor) -> Tensor:
        """Return the gradient at h of a function whose gradient at q(h) is given."""
        if self._towers.score == "dot":
            return gradient
        length = h.norm(dim=1, keepdim=True).clamp_min(TINY)
        direction = h / length
        across = gradient - (gradient * direction).sum(1, keepdim=True) * direction
        pulled: Tensor = across / length / self._towers.temperature
        return pulled


def _usable(gradient: Tensor, block: Block) -> Tensor:
    """Return the gradient, zero for samples that make no step and for those where it is not finite."""
    usable = block.learns & torch.isfinite(gradient).all(1)
    return torch.where(usable[:, None], gradient, 0.0)
