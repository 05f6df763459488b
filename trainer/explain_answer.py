"""What changed in a user's answer since the night, one cause after the other.

    night → ring (what was clicked is hidden) → trend → common row → own row, which is what is served

Each answer differs from the one before in that cause alone; an item came, or went, by the last of them that moved it.
Scores are those of serving, searched exactly and asked without context: user . item + bias_weight * bias + trend prior,
a trending item without a vector having the mean one of those that have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from contracts import item_space, trend
from contracts.arrays import Doubles, Floats
from contracts.bases import OpenBase
from contracts.events import Context
from contracts.features import FeatureEncoder
from trainer.context_encoder import context_encoder
from trainer.explanation import Answer, AnswerItem, LeftItem, ScoreParts
from trainer.towers import TINY, queries

CAUSES = ("night", "ring", "trend", "common row", "own row")


@dataclass(frozen=True)
class TrendNow:
    """Trend counts of everybody at one time. `priors`: float64 [N]; `strangers`: trending items without a vector;
    `mean`: float32 [d + 1], what stands in for it."""

    priors: Doubles
    strangers: list[str]
    stranger_priors: Doubles
    mean: Floats


@dataclass(frozen=True)
class Standing:
    """What an answer is made of: rows, float32 [d] each, trend, and the items that must not be shown again."""

    common: Floats
    own: Floats
    trend: TrendNow
    ring: frozenset[str]


@dataclass(frozen=True)
class Ranked:
    """All candidates and their scores, float64; minus infinity for one that must not be shown."""

    at: dict[str, int]
    scores: Doubles

    def top(self, k: int) -> list[str]:
        """Return the best k, best first."""
        names = list(self.at)
        best = np.argsort(-self.scores, kind="stable")[:k].tolist()
        return [names[n] for n in best if np.isfinite(self.scores[n])]

    def rank(self, item: str) -> int | None:
        """Return an item's rank from 1; None for one that is no candidate."""
        score = self.scores[self.at[item]] if item in self.at else -np.inf
        return int(np.count_nonzero(self.scores > score)) + 1 if np.isfinite(score) else None


class Ranker:
    """Scores the items of one base."""

    def __init__(self, base: OpenBase) -> None:
        towers, online = base.manifest.towers, base.manifest.online
        self._base, self._towers, self._online = base, towers, online
        self._vectors = item_space.item_vectors(base.items, towers, online.bias_weight)
        self._at = {item: at for at, item in enumerate(base.items.ids)}
        nothing = FeatureEncoder(base.manifest.towers.context).encode([Context()])
        self._context: Floats = context_encoder(base).vectors(*nothing)[0]

    def trend(self, counts: Mapping[str, float], now: int) -> TrendNow:
        """Return what forward-decayed `counts` of everybody add to scores at `now` (ms)."""
        online, known = self._online, np.zeros(len(self._at))
        everything = np.fromiter(counts.values(), np.float64, len(counts))
        clicks = trend.decayed(everything, now, self._base.manifest.trend_t0, online.half_life_ms)
        items, clicks = trend.lasting(counts, clicks, online.floor) if online.beta else ([], np.zeros(0))
        at = np.array([self._at.get(item, -1) for item in items], dtype=np.int64)
        known[at[at >= 0]] = clicks[at >= 0]
        priors, table = trend.prior(known, online.beta, online.floor), at[at >= 0]
        strange = np.flatnonzero(at < 0)
        return TrendNow(
            priors,
            [items[n] for n in strange.tolist()],
            trend.prior(clicks[strange], online.beta, online.floor),
            trend.mean_vector(self._vectors[table], priors[table]),
        )

    def ranked(self, standing: Standing) -> Ranked:
        """Return all candidates with their scores."""
        query, now = self._query(standing), standing.trend
        scores = np.concatenate([self._vectors @ query + now.priors, now.stranger_priors + float(now.mean @ query)])
        at = {item: n for n, item in enumerate([*self._at, *now.strangers])}
        scores[[at[item] for item in standing.ring if item in at]] = -np.inf
        return Ranked(at, scores)

    def knows(self, item: str) -> bool:
        """Say whether the base has a vector of an item."""
        return item in self._at

    def parts(self, standing: Standing, own_before: Floats, item: str) -> ScoreParts:
        """Return the parts of an item's score; `own_before`: the own row of the night, float32 [d]."""
        width, now, base_common = self._towers.width, standing.trend, self._base.common
        place = self._at.get(item)
        vector = now.mean if place is None else self._vectors[place]
        prior = now.stranger_priors[now.strangers.index(item)] if place is None else now.priors[place]
        query, h = self._query(standing), standing.common + standing.own + self._context
        length = np.maximum(np.linalg.norm(h), TINY) * self._towers.temperature
        share = vector[:width].astype(np.float64) / (length if self._towers.score == "cosine" else 1.0)
        return ScoreParts(
            common=float(base_common @ share),
            common_moved=float((standing.common - base_common) @ share),
            own=float(own_before @ share),
            own_moved=float((standing.own - own_before) @ share),
            context=float(self._context @ share),
            bias=float(vector[width] * query[width]),
            trend=float(prior),
        )

    def _query(self, standing: Standing) -> Floats:
        user = queries((standing.common + standing.own + self._context)[np.newaxis], self._towers)
        found: Floats = item_space.queries(user, self._towers)[0]
        return found


def changed(ranker: Ranker, night: Standing, served: Standing, k: int) -> Answer:
    """Return the answer of k items as it is served, and how it came from the night's."""
    hidden = replace(night, ring=served.ring)
    trended = replace(hidden, trend=served.trend)
    steps = (night, hidden, trended, replace(trended, common=served.common), served)
    ranked = [ranker.ranked(standing) for standing in steps]
    tops = [each.top(k) for each in ranked]
    first, last = ranked[0], ranked[-1]
    scores = {item: float(last.scores[last.at[item]]) for item in tops[-1]}
    items = [
        AnswerItem(
            item_id=item,
            known=ranker.knows(item),
            score=score,
            rank_night=first.rank(item),
            by=cause(tops, item),
            parts=ranker.parts(served, night.own, item),
        )
        for item, score in scores.items()
    ]
    gone = [item for item in tops[0] if item not in scores]
    left = [LeftItem(item, first.rank(item), last.rank(item), cause(tops, item)) for item in gone]
    return Answer(k, items, left, dict(zip(CAUSES, tops, strict=True)))


def cause(tops: Sequence[Sequence[str]], item: str) -> str:
    """Return the last cause that took an item in or out; empty where first and last answer agree on it."""
    inside = [item in top for top in tops]
    if inside[0] == inside[-1]:
        return ""
    return CAUSES[max(n for n in range(1, len(tops)) if inside[n] != inside[n - 1])]
