"""One served version, whole and unchanging, and how it answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from contracts import item_space
from contracts.arrays import Doubles, Floats, Integers
from contracts.bases import OpenBase
from contracts.errors import UsageError
from contracts.events import Context
from contracts.served import Served
from serving.answer import NO_CONTEXT, Answer, Query, ScoredItem
from serving.catalogue import Catalogue
from serving.exact_search import ExactSearch, Found
from serving.offer import Offer
from serving.settings import SERVED
from serving.trend_table import TrendTable
from serving.user_tower import UserTower
from serving.user_view import FrozenUserView, User, Users, UserView
from serving.vector_cache import VectorCache

MAX_K = 1000


class Search(Protocol):
    """Finds the nearest items: `ItemSearch` in Milvus, `ExactSearch` in numpy."""

    def search(self, queries: Floats, k: int) -> Found:
        """Return about the `k` items of largest inner product for each of `queries`, float32 [n, width + 1]."""

    def close(self) -> None:
        """Let go of what is held."""


@dataclass(frozen=True)
class BaseParts:
    """What depends on the base alone, and is shared by all versions on it."""

    base: OpenBase
    collections: tuple[str, ...]
    catalogue: Catalogue
    tower: UserTower
    tower_choice: str
    search: Search


@dataclass(frozen=True)
class ServedView:
    """score = user . item + bias_weight * bias + trend prior, as if a trending item without a vector had the mean one.

    Such an item fits each user as well as the trending items that have one do on average, weighted by exp(prior): the
    prior alone would not be on the scale of the others' scores (docs/decisions/0007).

    Never changes, so any number of threads may ask it; every answer is of this version, whole.
    """

    version: int
    shown: Served
    parts: BaseParts
    users: Users
    vectors: VectorCache
    offer: Offer
    trend: TrendTable
    arm: str = SERVED

    def retrieve(self, user_id: str, k: int, context: Context = NO_CONTEXT) -> Answer:
        """Return the best `k` items for one user. Raises `UsageError` for a k outside 1 to 1,000."""
        (answer,) = self.retrieve_many([Query(user_id, context)], k)
        return answer

    def retrieve_many(self, queries: Sequence[Query], k: int) -> list[Answer]:
        """Return the best `k` items for each query: rows, tower, search, and the join with the trend table.

        The search is asked for as many more items as the longest ring may take away, and for more where too many of
        those found may not be shown. Then the answer is exactly what scoring every item would give, if the search is
        exact: an item that was not found has k others above it.
        """
        if not 1 <= k <= MAX_K:
            raise UsageError(f"k is {k}", hint=f"Ask for 1 to {MAX_K} items.")
        if not queries:
            return []
        clock = [time.perf_counter()]
        users = [self.users.user(query.user_id) for query in queries]
        clock.append(time.perf_counter())
        vectors = self.vectors.vectors(users, [query.context for query in queries])
        asked = item_space.queries(vectors, self.parts.base.manifest.towers)
        clock.append(time.perf_counter())
        found = self._search(asked, k + max(len(user.ring) for user in users))
        clock.append(time.perf_counter())
        joined = zip(users, asked, found.rows, strict=True)
        best = [self._best(user, query, rows, k) for user, query, rows in joined]
        clock.append(time.perf_counter())
        spent = dict(zip(("rows", "tower", "search", "join"), np.diff(clock) * 1000, strict=True))
        milliseconds = {step: round(float(took), 3) for step, took in spent.items()}
        return [self._answer(u, items, found.how, milliseconds) for u, items in zip(users, best, strict=True)]

    def frozen(self, former: ServedView | None = None) -> ServedView:
        """Return the frozen control: the base alone, its rings as served, without trend, biases as it was trained.

        It has no items but the base's. It searches exactly, for the collection holds biases as they are weighted
        online. `former`, a frozen control, shares what depends on the base alone.
        """
        base = self.parts.base
        if former and former.shown.base_digest == self.shown.base_digest:
            parts = former.parts
        else:
            catalogue = Catalogue.of(base, bias_weight=1.0)
            parts = replace(self.parts, catalogue=catalogue, search=ExactSearch(catalogue))
        bounds = replace(self.offer.fresh, ids=[], vectors=np.zeros((0, base.manifest.towers.width), np.float32))
        offer = Offer.of(self.offer.digest, bounds, parts.catalogue, self.shown.trend_time)
        users = FrozenUserView(UserView.of_base(base), self.users)
        vectors = self.vectors.of_another_view(f"{self.vectors.view_key} frozen")
        return replace(self, parts=parts, users=users, vectors=vectors, offer=offer, trend=TrendTable.empty())

    def _search(self, asked: Floats, wanted: int) -> Found:
        """Search for `wanted` items that may be shown, for each query."""
        hidden, known = self.offer.hidden_rows, self.offer.known
        count = wanted
        while True:
            found = self.parts.search.search(asked, count)
            if not hidden or count >= known:
                return found
            if all(sum(row not in hidden for row in rows.tolist()) >= wanted for rows in found.rows):
                return found
            count *= 4

    def _best(self, user: User, query: Floats, found: Integers, k: int) -> tuple[ScoredItem, ...]:
        """Join what was found with the trend table, score all of it exactly, leave out the ring, take the best.

        Of the table only the best k can be in the answer, and of its strangers, who all fit alike, the best k by prior.
        """
        catalogue, table, ring = self.offer.catalogue, self.trend, set(user.ring)
        gone = {row for item in ring if (row := catalogue.row_of.get(item)) is not None}
        trending = table.scores(query, gone)
        top = _highest(trending, k)
        found_rows = [row for row in found.tolist() if row not in table.places]
        others = [row for row in found_rows if row not in gone and row not in self.offer.hidden_rows]
        others += self._fresh(query, gone, k)
        unseen = [n for n in table.best_strangers[: k + len(ring)] if table.strangers[n] not in ring]
        rows = np.array(others, dtype=np.int64)
        priors = [table.priors[top], np.full(len(rows), table.floor), table.stranger_priors[unseen]]
        scores = [trending[top], catalogue.scores(query, rows) + table.floor, table.stranger_scores(query)[unseen]]
        names = [catalogue.ids[row] for row in (*table.rows[top].tolist(), *others)]
        names += [table.strangers[n] for n in unseen]
        score, prior = np.concatenate(scores), np.concatenate(priors)
        order = np.argsort(-score, kind="stable")[:k].tolist()
        return tuple([ScoredItem(names[n], float(score[n]), float(prior[n])) for n in order])

    def _fresh(self, query: Floats, gone: set[int], k: int) -> list[int]:
        """Return the rows of the best `k` fresh items that are not in the trend table, and not `gone`."""
        if not self.offer.fresh_rows:
            return []
        scores = np.asarray(self.offer.fresh_vectors @ query, dtype=np.float64)
        for row in gone & self.offer.places.keys():
            scores[self.offer.places[row]] = -np.inf
        return [self.offer.fresh_rows[place] for place in _highest(scores, k).tolist()]

    def _answer(self, user: User, items: tuple[ScoredItem, ...], search: str, milliseconds: dict[str, float]) -> Answer:
        row = user.row
        return Answer(
            user_id=user.user_id,
            arm=self.arm,
            version=self.version,
            base_id=self.shown.base_id,
            partition=user.partition,
            how=user.how,
            delta=user.delta,
            clicks=row.clicks if row else 0,
            age_ms=row.age(self.shown.trend_time) if row else None,
            search=search,
            items=items,
            milliseconds=milliseconds,
        )


def _highest(scores: Doubles, k: int) -> Integers:
    """Return the places of the `k` highest finite scores, in any order."""
    top = np.argpartition(-scores, k - 1)[:k] if len(scores) > k else np.arange(len(scores))
    return np.asarray(top[np.isfinite(scores[top])], dtype=np.int64)
