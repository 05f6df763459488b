"""The retriever: answers from the newest served version, and follows it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from contracts import served
from contracts.errors import NothingServed
from contracts.events import Context
from contracts.layout import Layout
from serving.answer import NO_CONTEXT, Answer, Query
from serving.arms import LineUp, line_up
from serving.served_view import ServedView
from serving.settings import ServingSettings
from serving.view_builder import ViewBuilder


class Retriever:
    """Any number of threads may retrieve while one refreshes: each answer is of one version, whole.

    A reader never goes back to a version with a lower number; a rollback is a version with a higher one. Users of the
    arms in the settings are answered by those, everybody else by the newest version.
    """

    def __init__(self, layout: Layout, settings: ServingSettings) -> None:
        """Open the served version. Raises `NothingServed`, or what names the part that cannot be served."""
        self._layout = layout
        self.builder = ViewBuilder(layout, settings)
        self._refreshing = threading.Lock()
        head = served.head(layout)
        if head is None:
            raise NothingServed(
                f"nothing is served yet under {layout.root}", hint="Publish first: `freshet publish once`."
            )
        self._line_up = line_up(self.builder, head, None)

    @property
    def line_up(self) -> LineUp:
        """The views that answer now; they go on answering as they are for who holds them."""
        return self._line_up

    @property
    def view(self) -> ServedView:
        """The newest version, of those that answer now."""
        return self._line_up.served

    def refresh(self) -> bool:
        """Take over the newest served version, in one assignment; False when it is the one that answers already.

        When the new version cannot be opened the error is raised, and the old one goes on answering. After a cut-over
        the former base's search stays open, a connection to the vector store at most: who holds the former view may
        still ask it.
        """
        with self._refreshing:
            former = self._line_up
            chain = served.chain(self._layout)
            number = chain.head_number(former.served.version)
            if number == former.served.version:
                return False
            self._line_up = line_up(self.builder, chain.read(number), former)
            return True

    def retrieve(self, user_id: str, k: int, context: Context = NO_CONTEXT) -> Answer:
        """Return the best `k` items for one user, from the version that answers them now."""
        return self._line_up.view_of(user_id).retrieve(user_id, k, context)

    def retrieve_many(self, queries: Sequence[Query], k: int) -> list[Answer]:
        """Return the best `k` items for each query, all from the versions that answer at one moment."""
        now = self._line_up
        by_view: dict[int, list[int]] = {}
        views = [now.view_of(query.user_id) for query in queries]
        for at, view in enumerate(views):
            by_view.setdefault(id(view), []).append(at)
        answers: dict[int, Answer] = {}
        for places in by_view.values():
            found = views[places[0]].retrieve_many([queries[at] for at in places], k)
            answers.update(zip(places, found, strict=True))
        return [answers[at] for at in range(len(queries))]

    def frozen(self) -> ServedView:
        """Return the frozen control of the newest version."""
        return self.view.frozen()

    def close(self) -> None:
        """Let go of the vector store, as the versions that answer now hold it."""
        for view in (self._line_up.served, *self._line_up.others):
            view.parts.search.close()
