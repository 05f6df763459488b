"""What a retrieval is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from contracts.events import Context
from serving.user_view import How

NO_CONTEXT = Context()


@dataclass(frozen=True)
class Query:
    """One user and the context of their request."""

    user_id: str
    context: Context = NO_CONTEXT


class ScoredItem(msgspec.Struct, frozen=True):
    """An item of an answer; `trend` is the part of `score` that the trend table gave."""

    item_id: str
    score: float
    trend: float


class Answer(msgspec.Struct, frozen=True):
    """The items for one user, best first, and where they come from.

    `arm` and `version` are what a `request` event of this answer carries as `arm` and `served_version`.
    `how`: by the user's own row, or, where the version does not know the user, by the common row. `delta`: the one that
    made the row (0: the base). `age_ms`: from the row's last click to the time served (event times; None without a
    row). `search`: who found the nearest items. `milliseconds`: processing time by step, of the whole batch.
    """

    user_id: str
    arm: str
    version: int
    base_id: str
    partition: int
    how: How
    delta: int
    clicks: int
    age_ms: int | None
    search: str
    items: tuple[ScoredItem, ...]
    milliseconds: dict[str, float]
