"""From the samples of a block to the padded arrays that are scored and learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.arrays import Flags, Floats, Integers
from contracts.bases import OpenBase
from contracts.events import Context
from contracts.features import FeatureEncoder
from trainer.block_fold import LARGEST
from trainer.context_encoder import context_encoder
from trainer.shard_feed import SampleColumns


@dataclass(frozen=True)
class EncodedBlock:
    """A block's samples, padded to B = block_samples; the first `len(samples)` positions are real.

    `users`: its users, by first appearance; `user_at`: int64 [B]. `codes`: int64 [B, F], `numbers`: float32
    [B, C], the contexts as the base's features encode them; `context`: MLP(context), float32 [B, d].
    `targets`: int64 [B], item positions, 0 where unknown. `known`: bool [B], the base has a vector of the item.
    `usable`: bool [B], known and with a finite context vector: what can be scored and learned.
    """

    samples: SampleColumns
    users: list[str]
    user_at: Integers
    codes: Integers
    numbers: Floats
    context: Floats
    targets: Integers
    known: Flags
    usable: Flags


class BlockEncoder:
    """Encodes blocks with the features, items and frozen user tower of one base."""

    def __init__(self, base: OpenBase) -> None:
        self._size = base.manifest.online.block_samples
        self._features, self.context = FeatureEncoder(base.manifest.towers.context), context_encoder(base)
        self._item_at = {item: at for at, item in enumerate(base.items.ids)}

    def encode(self, samples: SampleColumns) -> EncodedBlock:
        """Return the padded arrays of at most `block_samples` samples."""
        user_positions: dict[str, int] = {}
        user_at = [user_positions.setdefault(user, len(user_positions)) for user in samples.users]
        targets = self._padded([self._item_at.get(item, -1) for item in samples.items], -1)
        codes, numbers = self._features.encode(samples.contexts + [Context()] * (self._size - len(samples)))
        with np.errstate(over="ignore", invalid="ignore"):
            context = self.context.vectors(codes, numbers)
            finite = np.vecdot(context, context) < LARGEST
        context[~finite] = 0.0
        known = targets >= 0
        return EncodedBlock(
            samples,
            list(user_positions),
            self._padded(user_at, 0),
            codes,
            numbers,
            context,
            np.maximum(targets, 0),
            known,
            known & finite,
        )

    def _padded(self, values: list[int], fill: int) -> Integers:
        padded = np.full(self._size, fill, dtype=np.int64)
        padded[: len(values)] = values
        return padded
