"""What goes over HTTP: requests are decoded into these, or refused; answers are these, encoded."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.events import Context, FeatureText, Id
from serving.answer import Answer, Query
from serving.evidence import Origin
from serving.served_view import MAX_K

MAX_QUERIES = 256
_FLOAT32 = 3.4028234e38
_WHOLE = 2**53
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$(?!\n)"  # what a terminal shows as it stands

FeatureName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
Number = Annotated[float, Meta(ge=-_FLOAT32, le=_FLOAT32)]
K = Annotated[float, Meta(ge=1, le=MAX_K, multiple_of=1, description="How many items.")]  # JSON's 20.0 is its 20


class RequestContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Features of a request. Those that the base was not trained with are ignored."""

    discrete: Annotated[dict[FeatureName, FeatureText], Meta(max_length=64)] = {}
    continuous: Annotated[dict[FeatureName, Number], Meta(max_length=64)] = {}


class OneQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user, and the context of the request."""

    user_id: Id
    context: RequestContext = RequestContext()

    def query(self) -> Query:
        """Return it as the retriever takes it."""
        return Query(self.user_id, Context(self.context.discrete, self.context.continuous))


class RetrieveRequest(OneQuery, frozen=True, forbid_unknown_fields=True):
    """Ask for the best items for one user."""

    k: K = 20


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for the best items for several users, from the versions that are served at one moment."""

    queries: Annotated[list[OneQuery], Meta(min_length=1, max_length=MAX_QUERIES)]
    k: K = 20


class BatchAnswer(msgspec.Struct, frozen=True):
    """The answers, in the order of the queries; `milliseconds` in each are those of all that one version answered."""

    answers: list[Answer]


class RollbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Serve version `to` again. `seen`: the version that was served when this was decided; another one: 409."""

    to: Annotated[float, Meta(ge=1, le=_WHOLE, multiple_of=1)]
    seen: Annotated[float, Meta(ge=1, le=_WHOLE, multiple_of=1)]
    who: Annotated[str, Meta(min_length=1, max_length=64, pattern=_ONE_LINE)]
    why: Annotated[str, Meta(min_length=1, max_length=500, pattern=_ONE_LINE)]


class RollbackPage(msgspec.Struct, frozen=True):
    """A rollback, planned or done: `version` (the one served before it, or the one that it made) shows `content_of`.

    `deltas` of `partitions` are held after it. Times in ms.
    """

    version: int
    content_of: int
    base_id: str
    trend_time: int
    last_event_time: int
    deltas: int
    partitions: int


class UserPage(msgspec.Struct, frozen=True):
    """A user as the version that answers them knows them. Without a row: `how` is "common row".

    `own_norm`: length of the own row; `id_embedding`: what the user tower gets, common row and own row added;
    `base_row`: whether the base has a row of the user. Times and ages in ms.
    """

    user_id: str
    arm: str
    version: int
    base_id: str
    partition: int
    how: str
    base_row: bool
    clicks: int
    last_event_time: int | None
    age_ms: int | None
    own_norm: float
    id_embedding: list[float]
    ring: list[str]
    evidence: list[Origin]


class ArmPage(msgspec.Struct, frozen=True):
    """What an arm answers with, and for which share of the users."""

    arm: str
    share: float
    version: int
    base_id: str


class StatusPage(msgspec.Struct, frozen=True):
    """What this process answers with now. `fault`: why a newer version could not be taken over, else empty.

    `newest_version`: that of the chain. `items`: of the base; `fresh_items`: those that came since; `hidden_items`:
    those that are not available at `trend_time`. `tower`: which user tower answers, and why. `vectors`: user vectors by
    where they came from, since the process began. Times in ms.
    """

    version: int
    action: str
    content_of: int
    base_id: str
    newest_version: int
    fault: str
    trend_time: int
    last_event_time: int
    items: int
    fresh_items: int
    hidden_items: int
    tower: str
    search: str
    arms: list[ArmPage]
    vectors: dict[str, int]
    why: str


class Health(msgspec.Struct, frozen=True):
    """Whether the process lives, or is ready; `reason` is empty while it is."""

    ok: bool
    reason: str


class Problem(msgspec.Struct, frozen=True):
    """Why there is no answer, and what to do about it."""

    error: str
    hint: str = ""
