"""From the samples of a block to the padded arrays that are scored and learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contracts import bases
from contracts.arrays import Floats, Integers
from contracts.bases import OpenBase
from contracts.events import Context
from contracts.features import FeatureEncoder
from trainer.shard_feed import SampleColumns
from trainer.towers import load

LARGEST = 1e12


@dataclass(frozen=True)
class EncodedBlock:
    """A block's samples, padded to B = block_samples; the first `len(samples)` positions are real.

    `users`: its users, by first appearance; `user_at`: int64 [B]. `context`: MLP(context), float32 [B, d].
    `targets`: int64 [B], item positions, 0 where unknown. `known`: bool [B], the base has a vector of the item.
    `usable`: bool [B], known and with a finite context vector: what can be scored and learned.
    """

    samples: SampleColumns
    users: list[str]
    user_at: Integers
    context: Tensor
    targets: Integers
    known: np.ndarray[tuple[int], np.dtype[np.bool_]]
    usable: np.ndarray[tuple[int], np.dtype[np.bool_]]


class BlockEncoder:
    """Encodes blocks with the features, items and frozen user tower of one base."""

    def __init__(self, base: OpenBase) -> None:
        self._size = base.manifest.online.block_samples
        self._features = FeatureEncoder(base.manifest.towers.context)
        self.tower = load(base.manifest.towers, base.file(bases.DENSE), bases.DENSE).user
        self._item_at = {item: at for at, item in enumerate(base.items.ids)}

    def encode(self, samples: SampleColumns) -> EncodedBlock:
        """Return the padded arrays of at most `block_samples` samples."""
        users = list(dict.fromkeys(samples.users))
        user_positions = {user: at for at, user in enumerate(users)}
        found = [self._item_at.get(item, -1) for item in samples.items]
        targets = self._padded(np.array(found, dtype=np.int64), -1)
        context = self._context_vectors(samples.contexts)
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.square(context).sum(axis=1) < LARGEST
        context[~finite] = 0.0
        known = targets >= 0
        return EncodedBlock(
            samples,
            users,
            self._padded(np.array([user_positions[user] for user in samples.users], dtype=np.int64), 0),
            torch.from_numpy(context),
            np.maximum(targets, 0),
            known,
            known & finite,
        )

    def _context_vectors(self, contexts: list[Context]) -> Floats:
        padded = contexts + [Context()] * (self._size - len(contexts))
        codes, numbers = self._features.encode(padded)
        with torch.no_grad():
            vectors = self.tower.context_vector(torch.tensor(codes), torch.tensor(numbers))
        return vectors.numpy().copy()

    def _padded(self, values: Integers, fill: int) -> Integers:
        return np.concatenate([values, np.full(self._size - len(values), fill, dtype=np.int64)])
