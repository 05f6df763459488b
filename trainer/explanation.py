"""What an explanation says: plain facts, for the terminal and for programs. docs/operations.md names every key."""

from __future__ import annotations

import msgspec

LEARNED, TREND_ONLY, NOT_ADMITTED, SET_ASIDE = "learned", "trend only", "not admitted", "set aside"
PENDING = "in no delta"


class Fit(msgspec.Struct, frozen=True):
    """How a clicked item stood for the user among the base's items, before the step of the own row and after it, all
    else being equal: score, and rank from 1 (of equal scores the clicked item comes last)."""

    score_before: float
    score_after: float
    rank_before: int
    rank_after: int


class Click(msgspec.Struct, frozen=True):
    """One click: the record it comes from, what became of it, and its own part of the row's step.

    `outcome`: `learned`; `trend only` (the base has no vector of the item); `set aside` by the guard in `reason`;
    `not admitted` (the user has no row yet); `in no delta`. `block`: ordinal of the block's first sample, and
    `block_clicks` how many of its samples are this user's: they move the row at once, by `block_moved`. `moved`: length
    of this click's part, `cosine`: of it with the item's vector.
    """

    ordinal: int
    topic: str
    partition: int
    offset: int
    event_time: int
    watermark: int
    item_id: str
    joined: str
    arm: str
    served_version: int
    outcome: str
    reason: str = ""
    delta: int = 0
    block: int | None = None
    block_clicks: int = 0
    block_moved: float = 0.0
    capped: bool = False
    admitted: bool = False
    moved: float = 0.0
    cosine: float | None = None
    fit: Fit | None = None


class RowFacts(msgspec.Struct, frozen=True):
    """A row and what it rests on. `length`: of the own row; `ring`: the last clicked items, oldest first."""

    clicks: int
    last_event_time: int
    length: float
    ring: tuple[str, ...]


class ScoreParts(msgspec.Struct, frozen=True):
    """What a score is the sum of. `common`, `own`: by the rows of the night; `..._moved`: by how far they have moved
    since; with a cosine all are shares of the direction as it is now. `context`: by that of a request without any."""

    common: float
    common_moved: float
    own: float
    own_moved: float
    context: float
    bias: float
    trend: float


class AnswerItem(msgspec.Struct, frozen=True):
    """An item of the answer. `known`: the base has a vector of it, else the mean of the trending ones stands in.

    `rank_night`: where the night had it, None where it was hidden or no candidate; `by`: the cause that brought it
    (`ring`, `trend`, `common row`, `own row`), empty for one that was there.
    """

    item_id: str
    known: bool
    score: float
    rank_night: int | None
    by: str
    parts: ScoreParts


class LeftItem(msgspec.Struct, frozen=True):
    """An item that the night's answer had and that left, `by` a cause; `rank_now` None: hidden because the user clicked
    it, or clicked by nobody any more and without a vector."""

    item_id: str
    rank_night: int | None
    rank_now: int | None
    by: str


class Answer(msgspec.Struct, frozen=True):
    """The best `k` items as they are served, those of the night that `left`, and in `steps` the ids of each answer on
    the way from one to the other: `night`, `ring`, `trend`, `common row`, `own row`."""

    k: int
    items: list[AnswerItem]
    left: list[LeftItem]
    steps: dict[str, list[str]]


class Explanation(msgspec.Struct, frozen=True):
    """Everything that `freshet trainer explain` found; times in ms. `served_base`: the one served now, empty for none.

    `first_ordinal`, `next_ordinal`: the samples folded; `seen_ordinal`: up to where shards were looked at. `watermark`:
    the boundary reached; `delta`: the delta that ends there, 0 for none yet. `differs`: in what that delta, or one
    before it, is not what was folded; empty: all agree bit for bit. `base_row`, `row`: at the cut and now, None for
    none; `moved`: how far the own row is from the base's, `cosine`: of both; `common_moved`: the same
    of the partition's common row. `waiting_clicks`: clicks counted
    towards the `admit_after` that a row takes. `outcomes`: all clicks since the cut; `clicks`: the last of them.
    """

    user_id: str
    base_id: str
    served_base: str
    topic: str
    partition: int
    day_zone: str
    first_ordinal: int
    next_ordinal: int
    seen_ordinal: int
    cut_watermark: int
    watermark: int
    delta: int
    differs: str
    base_row: RowFacts | None
    row: RowFacts | None
    moved: float
    cosine: float | None
    common_moved: float
    own_step: float
    admit_after: int
    waiting_clicks: int
    expired: list[int]
    outcomes: dict[str, int]
    clicks: list[Click]
    answer: Answer
