"""Rolling back over HTTP: the same manifest, made by the same steps, as `freshet publish rollback` makes."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import rollback
from contracts.chain import Entry
from contracts.errors import FreshetError
from contracts.layout import Layout
from contracts.served import Hold, Served
from serving.wire import RollbackPage, RollbackRequest


def planned(layout: Layout, to: int) -> RollbackPage:
    """Return what a rollback to a version would do; nothing is written. Raises what `contracts.rollback.plan` does."""
    plan = rollback.plan(layout, to)
    return _page(plan.head.number, plan.target.body, plan.holds)


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
