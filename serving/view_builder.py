"""From a served manifest to the view that answers: what a former view shares with it is not built again."""

from __future__ import annotations

import threading
from collections import deque
from weakref import WeakValueDictionary

from contracts.bases import BaseStore
from contracts.chain import Entry
from contracts.errors import WrongParent
from contracts.layout import Layout
from contracts.served import Served
from serving.catalogue import Catalogue
from serving.exact_search import ExactSearch
from serving.offer import offer_of
from serving.served_view import BaseParts, Search, ServedView
from serving.settings import ServingSettings
from serving.tower_choice import choose
from serving.trend_table import TrendTable
from serving.user_view import UserView
from serving.vector_cache import Counts, VectorCache, shared

RECENT = 8  # a rollback to one of so many versions reads nothing


class ViewBuilder:
    """Builds the views of one run folder, one at a time. `counts` of user vectors go on over all of them."""

    def __init__(self, layout: Layout, settings: ServingSettings) -> None:
        self.layout, self.settings = layout, settings
        self.counts = Counts()
        self.beside = shared(settings)
        self._building = threading.Lock()
        self._held: WeakValueDictionary[tuple[str, tuple[str, ...]], BaseParts] = WeakValueDictionary()
        self._recent: deque[UserView] = deque(maxlen=RECENT)

    def view(self, entry: Entry[Served], former: ServedView | None = None) -> ServedView:
        """Return the view of a served manifest.

        Raises `MissingInput`, `WrongParent`, `ChainBroken`, `Corrupt` or `UnknownSchema` naming what cannot be served.
        """
        with self._building:
            return self._view(entry, former)

    def _view(self, entry: Entry[Served], former: ServedView | None) -> ServedView:
        shown = entry.body
        parts = self._parts(shown)
        users = self._nearest(shown, parts).advanced(shown)
        self._recent.append(users)
        before = former.offer if former and former.parts is parts else None
        offer = offer_of(self.layout, entry, parts.base.manifest, parts.catalogue, before)
        counts = users.trend_counts()
        for item in offer.hidden & counts.keys():
            del counts[item]
        table = TrendTable.of(counts, parts.base.manifest, shown.trend_time, offer.catalogue)
        key = f"{entry.digest} {parts.tower.precision}"
        vectors = VectorCache(parts.tower, key, self.settings.cached_vectors, self.beside, self.counts)
        return ServedView(entry.number, shown, parts, users, vectors, offer.without(table.places), table)

    def _nearest(self, shown: Served, parts: BaseParts) -> UserView:
        """Return the recent users from which the least has to be read, else those of the base alone."""
        answering = [held.base for held in self._held.values()]
        for users in list(self._recent):
            if not any(users.base is base for base in answering):
                self._recent.remove(users)  # and with it a base that nobody answers from
        leading = [users for users in self._recent if users.base is parts.base and users.leads_to(shown)]
        return max(leading, key=lambda users: users.deltas, default=None) or UserView.of_base(parts.base)

    def _parts(self, shown: Served) -> BaseParts:
        """Return what depends on the base alone, shared by all views on it for as long as there is one."""
        held = self._held.get((shown.base_digest, shown.collections))
        if held:
            return held
        base = BaseStore(self.layout).open(shown.base_id)
        if base.digest != shown.base_digest:
            raise WrongParent(
                f"base {shown.base_id} on disk is not the one that was published",
                hint="Publish it again, or restore it.",
            )
        catalogue = Catalogue.of(base, base.manifest.online.bias_weight)
        chosen = choose(base, catalogue, self.settings.tower, self.settings.tower_threads)
        search = self._search(shown.collections[0], catalogue)
        parts = BaseParts(base, shown.collections, catalogue, chosen.tower, chosen.why, search)
        self._held[shown.base_digest, shown.collections] = parts
        return parts

    def _search(self, collection: str, catalogue: Catalogue) -> Search:
        if self.settings.search == "exact":
            return ExactSearch(catalogue)
        from serving.item_search import ItemSearch  # pymilvus is not loaded where it is not used

        return ItemSearch(self.layout, collection, catalogue, self.settings)
