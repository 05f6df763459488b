"""The service: a retriever that waits for the first version, follows the chain in a thread, and counts."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from contracts import served
from contracts.errors import FreshetError, NothingServed
from contracts.events import Context
from contracts.layout import Layout
from serving.answer import Answer, Query
from serving.arms import LineUp, shares
from serving.comparison import Comparer, Comparison
from serving.evidence import origins
from serving.metrics import Metrics
from serving.retriever import Retriever
from serving.settings import ServingSettings
from serving.wire import ArmPage, StatusPage, UserPage


class Service:
    """Answers from the newest version that can be opened; before there is one, every question raises `NothingServed`.

    `start` begins to follow the chain, every `refresh_seconds`; a version that cannot be opened is tried again each
    time, named in `fault`, and the former one goes on answering. `close` ends that and lets go of the vector store.
    """

    def __init__(self, layout: Layout, settings: ServingSettings) -> None:
        self.layout, self.settings = layout, settings
        self.metrics = Metrics()
        self._retriever: Retriever | None = None
        self._fault = ""
        self._follows = True
        self._opening = threading.Lock()
        self._comparer: Comparer | None = None
        self._ended = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follow the served chain", daemon=True)

    def start(self) -> None:
        """Open what is served, and follow it from now on. Raises what makes the served version unusable here."""
        try:
            self._retriever = Retriever(self.layout, self.settings)
        except NothingServed as error:
            self._fault = str(error)
        self._follower.start()

    def close(self) -> None:
        """End; whoever is being answered still gets the answer."""
        self._ended.set()
        if self._follower.is_alive():
            self._follower.join()
        if self._retriever:
            self._retriever.close()

    @property
    def fault(self) -> str:
        """Why there is no version, or why the newest one could not be taken over; else empty."""
        return self._fault

    @property
    def follows(self) -> bool:
        """Whether newer versions are still taken over; if not, the process has to be started again."""
        return self._follows

    def refresh(self) -> None:
        """Take over the newest version if it can be opened; else `fault` says why not."""
        try:
            if self._retriever is None:
                self._retriever = Retriever(self.layout, self.settings)
            else:
                self._retriever.refresh()
                if self._comparer:
                    self._comparer.forget_but(self._retriever.view.version)
            self._fault = ""
        except (FreshetError, OSError) as error:
            if str(error) != self._fault and not isinstance(error, NothingServed):
                self.metrics.refused_versions.inc()
            self._fault = str(error)

    def retrieve(self, user_id: str, k: int, context: Context) -> Answer:
        """Return the best `k` items for one user."""
        (answer,) = self.retrieve_many([Query(user_id, context)], k)
        return answer

    def retrieve_many(self, queries: Sequence[Query], k: int) -> list[Answer]:
        """Return the best `k` items for each query."""
        with self.metrics.timed():
            answers = self._open().retrieve_many(queries, k)
        self.metrics.count(answers)
        return answers

    def user(self, user_id: str) -> UserPage:
        """Return what is known of a user, and where it comes from."""
        view = self._line_up().view_of(user_id)
        user, base = view.users.user(user_id), view.parts.base
        row = user.row
        return UserPage(
            user_id=user_id,
            arm=view.arm,
            version=view.version,
            base_id=view.shown.base_id,
            partition=user.partition,
            how=user.how,
            base_row=base.rows.position(user_id) >= 0,
            clicks=row.clicks if row else 0,
            last_event_time=row.last_event_time if row and row.clicks else None,
            age_ms=row.age(view.shown.trend_time) if row else None,
            own_norm=float(np.linalg.norm(row.own)) if row else 0.0,
            id_embedding=user.id_embedding.tolist(),
            ring=list(user.ring),
            evidence=origins(self.layout, base, user, view.shown),
        )

    def status(self) -> StatusPage:
        """Return what this process answers with."""
        now = self._line_up()
        view, by_arm = now.served, shares(self.settings.arm)
        return StatusPage(
            version=view.version,
            action=view.shown.action,
            content_of=view.shown.content_of,
            base_id=view.shown.base_id,
            newest_version=served.chain(self.layout).head_number(view.version),
            fault=self._fault,
            trend_time=view.shown.trend_time,
            last_event_time=view.shown.last_event_time,
            items=len(view.parts.catalogue.ids),
            fresh_items=len(view.offer.fresh.ids),
            hidden_items=len(view.offer.hidden),
            tower=view.parts.tower_choice,
            search=self.settings.search,
            arms=[ArmPage(v.arm, by_arm[v.arm], v.version, v.shown.base_id) for v in (*now.others, view)],
            vectors=self._open().builder.counts.now(),
            why=view.shown.why,
        )

    def compare(self, query: Query, k: int) -> Comparison:
        """Return a user's answers before the last publish, now, and by every arm."""
        with self._opening:
            comparer = self._comparer = self._comparer or Comparer(self._open().builder)
        return comparer.compare(self._line_up(), query, k, lambda: self.user(query.user_id))

    def search_now(self) -> str:
        """Return who finds items at this moment, as an answer would say it; empty before there is a version.

        A file of Milvus Lite is not tried: one process at a time may hold it, and the publisher may need it.
        """
        if self._retriever is None:
            return ""
        if self.settings.search == "milvus" and self.settings.store_uri(self.layout).endswith(".db"):
            return "milvus, in a file: not tried"
        parts = self._retriever.view.parts
        return parts.search.search(np.zeros((1, parts.base.manifest.towers.width + 1), np.float32), 1).how

    def redis_away(self) -> str:
        """Return why the Redis of the settings does not answer; empty where it does, or where there is none."""
        if self._retriever is None:
            return ""
        beside = self._retriever.builder.beside
        beside.get([b"freshet: does it answer?"])
        return beside.away

    def observe(self) -> None:
        """Bring the gauges of the metrics up to date."""
        if self._retriever:
            view = self._retriever.view
            self.metrics.show(view.version, view.shown, self._retriever.builder.counts.now())

    def _line_up(self) -> LineUp:
        return self._open().line_up

    def _open(self) -> Retriever:
        if self._retriever is None:
            hint = "Publish first: `freshet publish once`; this process takes it over by itself."
            raise NothingServed(self._fault or "nothing is served yet", hint=hint)
        return self._retriever

    def _follow(self) -> None:
        """Refresh until the end. What nobody foresaw ends this thread; `fault` and `follows` say so from then on."""
        try:
            while not self._ended.wait(self.settings.refresh_seconds):
                self.refresh()
        except BaseException as error:
            self._fault = f"this process follows no more: {type(error).__name__}: {error}"
            raise
        finally:
            self._follows = False
