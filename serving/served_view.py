"""One served version, whole and unchanging, and how it answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from contracts import item_space
from contracts.arrays import Floats, Integers
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.errors import UsageError, WrongParent
from contracts.events import Context
from contracts.layout import Layout
from contracts.served import Served
from serving.answer import NO_CONTEXT, Answer, Query, ScoredItem
from serving.catalogue import Catalogue
from serving.exact_search import ExactSearch, Found
from serving.settings import ServingSettings
from serving.trend_table import TrendTable
from serving.user_tower import UserTower
from serving.user_view import FrozenUserView, User, Users, UserView

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
    trend: TrendTable

    def retrieve(self, user_id: str, k: int, context: Context = NO_CONTEXT) -> Answer:
        """Return the best `k` items for one user. Raises `UsageError` for a k outside 1 to 1,000."""
        (answer,) = self.retrieve_many([Query(user_id, context)], k)
        return answer

    def retrieve_many(self, queries: Sequence[Query], k: int) -> list[Answer]:
        """Return the best `k` items for each query: rows, tower, search, and the join with the trend table.

        The search is asked for as many more items as the longest ring may take away. Then the answer is exactly what
        scoring every item would give, if the search is exact: an item that was not found has k others above it.
        """
        if not 1 <= k <= MAX_K:
            raise UsageError(f"k is {k}", hint=f"Ask for 1 to {MAX_K} items.")
        if not queries:
            return []
        clock = [time.perf_counter()]
        users = [self.users.user(query.user_id) for query in queries]
        embeddings = np.stack([user.id_embedding for user in users])
        clock.append(time.perf_counter())
        vectors = self.parts.tower.vectors(embeddings, [query.context for query in queries])
        asked = item_space.queries(vectors, self.parts.base.manifest.towers)
        clock.append(time.perf_counter())
        found = self.parts.search.search(asked, k + max(len(user.ring) for user in users))
        clock.append(time.perf_counter())
        joined = zip(users, asked, found.rows, strict=True)
        best = [self._best(user, query, rows, k) for user, query, rows in joined]
        clock.append(time.perf_counter())
        spent = dict(zip(("rows", "tower", "search", "join"), np.diff(clock) * 1000, strict=True))
        milliseconds = {step: round(float(took), 3) for step, took in spent.items()}
        return [self._answer(u, items, found.how, milliseconds) for u, items in zip(users, best, strict=True)]

    def frozen(self) -> ServedView:
        """Return the frozen control: the base alone, its rings as served, without trend, biases as it was trained.

        It has no items but the base's. It searches exactly, for the collection holds biases as they are weighted
        online.
        """
        base = self.parts.base
        catalogue = Catalogue.of(base, bias_weight=1.0)
        parts = replace(self.parts, catalogue=catalogue, search=ExactSearch(catalogue))
        users = FrozenUserView(UserView.of_base(base), self.users)
        return replace(self, parts=parts, users=users, trend=TrendTable.empty())

    def _best(self, user: User, query: Floats, found: Integers, k: int) -> tuple[ScoredItem, ...]:
        """Join what was found with the trend table, score all of it exactly, leave out the ring, take the best."""
        catalogue, table = self.parts.catalogue, self.trend
        rows = np.setdiff1d(np.union1d(found, table.rows), catalogue.rows(user.ring), assume_unique=True)
        unseen = [n for n, item in enumerate(table.strangers) if item not in user.ring]
        known = table.priors_of(rows)
        priors = np.concatenate([known, table.stranger_priors[unseen]])
        scores = np.concatenate([known + catalogue.scores(query, rows), table.stranger_scores(query)[unseen]])
        order = np.argsort(-scores, kind="stable")[:k].tolist()
        named = [catalogue.ids[rows[n]] if n < len(rows) else table.strangers[unseen[n - len(rows)]] for n in order]
        return tuple(ScoredItem(i, float(scores[n]), float(priors[n])) for i, n in zip(named, order, strict=True))

    def _answer(self, user: User, items: tuple[ScoredItem, ...], search: str, milliseconds: dict[str, float]) -> Answer:
        row = user.row
        return Answer(
            user_id=user.user_id,
            version=self.version,
            base_id=self.shown.base_id,
            partition=user.partition,
            how=user.how,
            delta=user.delta,
            clicks=row.clicks if row else 0,
            age_ms=self.shown.trend_time - row.last_event_time if row else None,
            search=search,
            items=items,
            milliseconds=milliseconds,
        )


def open_view(
    layout: Layout, settings: ServingSettings, entry: Entry[Served], former: ServedView | None = None
) -> ServedView:
    """Build the view of a served manifest; what `former` shares with it is not built again.

    Raises `MissingInput`, `WrongParent`, `ChainBroken`, `Corrupt` or `UnknownSchema` naming what cannot be served.
    """
    shown = entry.body
    parts = _parts(layout, settings, shown, former)
    users = former.users if former else None
    if not isinstance(users, UserView) or not users.leads_to(shown):
        users = UserView.of_base(parts.base)
    users = users.advanced(shown)
    manifest = parts.base.manifest
    table = TrendTable.of(users.trend_counts(), manifest, shown.trend_time, parts.catalogue)
    return ServedView(entry.number, shown, parts, users, table)


def _parts(layout: Layout, settings: ServingSettings, shown: Served, former: ServedView | None) -> BaseParts:
    if former and (former.shown.base_digest, former.parts.collections) == (shown.base_digest, shown.collections):
        return former.parts
    base = BaseStore(layout).open(shown.base_id)
    if base.digest != shown.base_digest:
        raise WrongParent(
            f"base {shown.base_id} on disk is not the one that was published", hint="Publish it again, or restore it."
        )
    catalogue = Catalogue.of(base, base.manifest.online.bias_weight)
    search = _search(layout, settings, shown.collections[0], catalogue)
    return BaseParts(base, shown.collections, catalogue, UserTower(base, settings.tower_threads), search)


def _search(layout: Layout, settings: ServingSettings, collection: str, catalogue: Catalogue) -> Search:
    if settings.search == "exact":
        return ExactSearch(catalogue)
    from serving.item_search import ItemSearch  # pymilvus is not loaded where it is not used

    return ItemSearch(layout, collection, catalogue, settings)
