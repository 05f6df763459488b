"""The retriever: answers from the newest served version, and follows it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from contracts import served
from contracts.errors import NothingServed
from contracts.events import Context
from contracts.layout import Layout
from serving.answer import NO_CONTEXT, Answer, Query
from serving.served_view import ServedView, open_view
from serving.settings import ServingSettings


class Retriever:
    """Any number of threads may retrieve while one refreshes: each answer is of one version, whole.

    A reader never goes back to a version with a lower number; a rollback is a version with a higher one.
    """

    def __init__(self, layout: Layout, settings: ServingSettings) -> None:
        """Open the served version. Raises `NothingServed`, or what names the part that cannot be served."""
        self._layout = layout
        self._settings = settings
        self._refreshing = threading.Lock()
        head = served.head(layout)
        if head is None:
            raise NothingServed(
                f"nothing is served yet under {layout.root}", hint="Publish first: `freshet publish once`."
            )
        self._view = open_view(layout, settings, head)

    @property
    def view(self) -> ServedView:
        """The version that answers now; it goes on answering as it is for who holds it."""
        return self._view

    def refresh(self) -> bool:
        """Take over the newest served version, in one assignment; False when it is the one that answers already.

        When the new version cannot be opened the error is raised, and the old one goes on answering. After a cut-over
        the former base's search stays open, a connection to the vector store at most: who holds the former view may
        still ask it.
        """
        with self._refreshing:
            former = self._view
            chain = served.chain(self._layout)
            number = chain.head_number(former.version)
            if number == former.version:
                return False
            self._view = open_view(self._layout, self._settings, chain.read(number), former)
            return True

    def retrieve(self, user_id: str, k: int, context: Context = NO_CONTEXT) -> Answer:
        """Return the best `k` items for one user, from the version that answers now."""
        return self._view.retrieve(user_id, k, context)

    def retrieve_many(self, queries: Sequence[Query], k: int) -> list[Answer]:
        """Return the best `k` items for each query, all from the version that answers now."""
        return self._view.retrieve_many(queries, k)

    def frozen(self) -> ServedView:
        """Return the frozen control of the version that answers now."""
        return self._view.frozen()

    def close(self) -> None:
        """Let go of the vector store, as the version that answers now holds it."""
        self._view.parts.search.close()
