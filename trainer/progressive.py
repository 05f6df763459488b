"""Progressive validation: a block is scored with the newest delta and with the frozen base before it is learned.

Predict, then learn (Dawid 1984's prequential principle). An item that the user's ring holds is not shown again, so a
repeated click is a miss; of equal scores the clicked item comes last, and a score that is no number is a miss.

The arm "served" is what this partition's newest delta would answer, not what the publisher serves: its candidates are
the items of the base alone (no strangers), a user without a row gets the partition's own common row, and to the trend
at the cut it adds the partition's own clicks times the number of partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contracts.arrays import Doubles, Flags, Floats
from contracts.bases import OpenBase
from contracts.days import bounds, day_of
from contracts.validation import BlockScore
from trainer.block_input import EncodedBlock
from trainer.towers import queries
from trainer.trend_counts import TrendCounts
from trainer.user_rows import OnlineRows, Shown

HOUR_MS = 3_600_000
NO_ROW = -(1 << 62)
AGES = {"age_under_1h": HOUR_MS, "age_under_6h": 6 * HOUR_MS, "age_under_1d": 24 * HOUR_MS, "age_1d_and_more": 1 << 62}


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
        self._turned = np.ascontiguousarray(base.items.vectors.T)

    def score(self, block: EncodedBlock, rows: OnlineRows, trend: TrendCounts, served: Served) -> list[BlockScore]:
        """Return the records of both arms on every slice that has samples; nothing is changed."""
        shown = [rows.shown(user) for user in block.users]
        of_base = [rows.of_base(user) for user in block.users]
        known_items = len(self._base.items.ids)
        rings = [[code for code in row.ring if code < known_items] if row else [] for row in shown]
        bias = self._base.items.biases.astype(np.float64)
        prior = self._base.manifest.online.bias_weight * bias + trend.term(trend.shown_clicks(served.trend_time))
        with_updates = rows.shown_common + self._own([row.own if row else None for row in shown])
        arms: list[tuple[Literal["served", "frozen"], int, _Scored]] = [
            ("served", served.delta, self._scored(block, with_updates, prior, rings)),
            ("frozen", 0, self._scored(block, self._base.common + self._own(of_base), bias, rings)),
        ]
        slices = self._slices(block, shown, np.array([own is not None for own in of_base], dtype=np.bool_))
        return [
            self._record(block, arm, delta, (name, inside), scored)
            for arm, delta, scored in arms
            for name, inside in slices.items()
            if inside.any()
        ]

    def _own(self, found: Sequence[Floats | None]) -> Floats:
        nothing = np.zeros(self._base.manifest.towers.width, np.float32)
        return np.array([nothing if own is None else own for own in found], dtype=np.float32)

    def _scored(self, block: EncodedBlock, id_embedding: Floats, offset: Doubles, rings: list[list[int]]) -> _Scored:
        count = len(block.samples)
        with np.errstate(over="ignore", invalid="ignore"):
            q = queries(id_embedding[block.user_at] + block.context, self._base.manifest.towers)
            scores: Floats = q @ self._turned
            scores += offset.astype(np.float32)
            at = np.arange(len(scores))
            clicked = scores[at, block.targets]
            top = scores.max(axis=1)
            losses = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top - clicked
            for row, user in enumerate(block.user_at[:count].tolist()):
                scores[row, rings[user]] = -np.inf
            clicked = scores[at, block.targets]
            ranks = np.count_nonzero(scores >= clicked[:, None], axis=1) - 1
        usable = block.usable[:count]
        hits = (ranks < self._k) & np.isfinite(clicked)
        return _Scored(hits[:count] & usable, np.where(usable, losses[:count], np.float32(0)))

    def _slices(self, block: EncodedBlock, shown: list[Shown | None], known: Flags) -> dict[str, Flags]:
        """Return the samples of each slice, as the newest delta knows their users.

        active: had clicked earlier that day. age_...: how long ago the row's last click was, at the block's beginning.
        """
        zone, now = self._base.manifest.day_zone, int(block.samples.watermarks[0])
        start, _ = bounds(day_of(now, zone), zone)
        last = np.array([row.last_event_time if row else NO_ROW for row in shown], dtype=np.int64)
        active = last >= start
        of_users = {
            "all": np.ones(len(shown), dtype=np.bool_),
            "active": active,
            "active_new": active & ~known,
            "active_known": active & known,
            "age_none": last == NO_ROW,
        }
        younger = np.zeros(len(shown), dtype=np.bool_)
        for name, limit in AGES.items():
            of_users[name] = (last != NO_ROW) & (now - last < limit) & ~younger
            younger = younger | of_users[name]
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
