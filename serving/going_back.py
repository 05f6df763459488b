"""Rolling back over HTTP: the same manifest, made by the same steps, as `freshet publish rollback` makes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from contracts import rollback, served
from contracts.chain import Entry
from contracts.errors import FreshetError
from contracts.layout import Layout
from contracts.served import Hold, Served
from serving.wire import RollbackPage, RollbackRequest


class Plans:
    """What a rollback to each version would do, kept as long as no other version is served; one at a time is made.

    A base that went away since is not noticed here: the rollback itself looks again.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._one_at_a_time = asyncio.Lock()  # whoever waits keeps no thread from answering
        self._known: dict[tuple[int, int], RollbackPage] = {}

    async def planned(self, to: int) -> RollbackPage:
        """Return the plan; nothing is written. Raises what `contracts.rollback.plan` does."""
        async with self._one_at_a_time:
            return await run_in_threadpool(self._planned, to)

    def _planned(self, to: int) -> RollbackPage:
        head = served.chain(self._layout).head_number()
        self._known = {key: page for key, page in self._known.items() if key[0] == head}
        if known := self._known.get((head, to)):
            return known
        plan = rollback.plan(self._layout, to)
        page = self._known[plan.head.number, to] = _page(plan.head.number, plan.target.body, plan.holds)
        return page


def roll_back(layout: Layout, asked: RollbackRequest) -> RollbackPage:
    """Serve an older version again, if what is served is still what was seen.

    Raises what `contracts.rollback.rollback` does, and `FreshetError` where the run folder cannot be written.
    """
    try:
        entry = rollback.rollback(layout, int(asked.to), f"{asked.who} at the dashboard", asked.why, int(asked.seen))
    except OSError as error:
        hint = "Roll back where the run folder can be written: `freshet publish rollback`."
        raise FreshetError(f"the run folder cannot be written: {error.strerror or error}", hint=hint) from error
    return _done(entry)


def _done(entry: Entry[Served]) -> RollbackPage:
    return _page(entry.number, entry.body, entry.body.holds)


def _page(version: int, body: Served, holds: Sequence[Hold]) -> RollbackPage:
    return RollbackPage(
        version=version,
        content_of=body.content_of,
        base_id=body.base_id,
        trend_time=body.trend_time,
        last_event_time=body.last_event_time,
        deltas=sum(hold.last - hold.first + 1 for hold in holds),
        partitions=len({hold.partition for hold in holds}),
    )
