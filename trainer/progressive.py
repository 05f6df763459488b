"""Progressive validation: a block is scored with the newest delta and with the frozen base before it is learned.

Predict, then learn (Dawid 1984's prequential principle). An item that the user's ring holds is not shown again, so a
repeated click is a miss; of equal scores the clicked item comes last, and a score that is no number is a miss.

The arm "served" is what this partition's newest delta would answer, not what the publisher serves: its candidates are
the items of the base alone (no strangers), a user without a row gets the partition's own common row, and to the trend
at the cut it adds the partition's own clicks times the number of partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contracts.arrays import Doubles, Floats
from contracts.bases import OpenBase
from contracts.days import bounds, day_of
from contracts.rows import Row
from contracts.validation import BlockScore
from trainer.block_input import EncodedBlock
from trainer.towers import user_vector
from trainer.user_rows import OnlineRows, TrendCounts

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Served:
    """What the arm "served" answers with: the newest delta, and the time (ms) that its trend counts are decayed to."""

    delta: int
    trend_time: int


@dataclass(frozen=True)
class _Scored:
    """How an arm did on a block: bool and float32 [samples]; both zero where a sample cannot be scored."""

    hits: Flags
    losses: Floats


class BlockScorer:
    """Scores blocks of one (base, partition)."""

    def __init__(self, base: OpenBase, partition: int, k: int) -> None:
        self._base, self._partition, self._k = base, partition, k
        self._vectors = torch.tensor(base.items.vectors)
        self._item_at = {item: at for at, item in enumerate(base.items.ids)}

    def score(self, block: EncodedBlock, rows: OnlineRows, trend: TrendCounts, served: Served) -> list[BlockScore]:
        """Return the records of both arms on every slice that has samples; nothing is changed."""
        shown = [rows.shown(user) for user in block.users]
        frozen = rows.own([rows.of_base(user) for user in block.users])
        rings = [self._positions(row) for row in shown]
        bias = self._base.items.biases.astype(np.float64)
        prior = self._base.manifest.online.bias_weight * bias + trend.term(trend.shown_clicks(served.trend_time))
        with_updates = rows.committed.common + rows.own(shown)
        arms: list[tuple[Literal["served", "frozen"], int, _Scored]] = [
            ("served", served.delta, self._scored(block, with_updates, prior, rings)),
            ("frozen", 0, self._scored(block, self._base.common + frozen, bias, rings)),
        ]
        slices = self._slices(block, shown, rows)
        return [
            self._record(block, arm, delta, (name, inside), scored)
            for arm, delta, scored in arms
            for name, inside in slices.items()
            if inside.any()
        ]

    def _scored(self, block: EncodedBlock, id_embedding: Floats, offset: Doubles, rings: list[list[int]]) -> _Scored:
        h = torch.tensor(id_embedding)[torch.from_numpy(block.user_at)] + block.context
        q = user_vector(h, self._base.manifest.towers)
        scores = q @ self._vectors.T + torch.tensor(offset.astype(np.float32))
        targets = torch.from_numpy(block.targets)[:, None]
        losses = torch.logsumexp(scores, dim=1) - scores.gather(1, targets)[:, 0]
        self._mask(scores, block, rings)
        clicked = scores.gather(1, targets)
        ranks = (scores >= clicked).sum(1) - 1
        hits = (ranks < self._k) & clicked[:, 0].isfinite()
        count = len(block.samples)
        usable = block.usable[:count]
        return _Scored(hits.numpy()[:count] & usable, losses.numpy()[:count] * usable)

    def _mask(self, scores: Tensor, block: EncodedBlock, rings: list[list[int]]) -> None:
        for at, user in enumerate(block.user_at[: len(block.samples)].tolist()):
            scores[at, rings[user]] = -torch.inf

    def _positions(self, row: Row | None) -> list[int]:
        return [self._item_at[item] for item in row.ring if item in self._item_at] if row else []

    def _slices(self, block: EncodedBlock, shown: list[Row | None], rows: OnlineRows) -> dict[str, Flags]:
        """Return the samples of each slice: active users had clicked earlier that day, by the newest delta."""
        zone = self._base.manifest.day_zone
        start, _ = bounds(day_of(int(block.samples.watermarks[0]), zone), zone)
        active = np.array([row is not None and row.last_event_time >= start for row in shown], dtype=np.bool_)
        known = np.array([rows.of_base(user) is not None for user in block.users], dtype=np.bool_)
        of_users = {
            "all": np.ones(len(shown), dtype=np.bool_),
            "active": active,
            "active_new": active & ~known,
            "active_known": active & known,
        }
        at = block.user_at[: len(block.samples)]
        return {name: inside[at] for name, inside in of_users.items()}

    def _record(
        self,
        block: EncodedBlock,
        arm: Literal["served", "frozen"],
        delta: int,
        part: tuple[str, Flags],
        scored: _Scored,
    ) -> BlockScore:
        name, inside = part
        return BlockScore(
            base_id=self._base.manifest.base_id,
            partition=self._partition,
            first_ordinal=block.samples.first_ordinal,
            next_ordinal=block.samples.next_ordinal,
            watermark=int(block.samples.watermarks[0]),
            served_version=0,
            delta=delta,
            arm=arm,
            slice=name,
            k=self._k,
            samples=int(inside.sum()),
            known=int((inside & block.known[: len(inside)]).sum()),
            hits=int(scored.hits[inside].sum()),
            loss=float(scored.losses[inside].astype(np.float64).sum()),
        )
