"""Arms: which share of the users is answered by another version than the newest, or by the frozen base.

A user stays in an arm for as long as names, shares and the salt stay: the arm is a pure function of the user id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate

from contracts import served
from contracts.chain import Entry
from contracts.errors import ChainBroken, UsageError
from contracts.served import Served
from serving.served_view import ServedView
from serving.settings import SERVED, Arm
from serving.view_builder import ViewBuilder


@dataclass(frozen=True)
class LineUp:
    """The views that answer at one moment: `served` is the newest version, `others` those of the arms, in order."""

    served: ServedView
    others: tuple[ServedView, ...]
    bounds: tuple[float, ...]
    salt: str

    def view_of(self, user_id: str) -> ServedView:
        """Return the view that answers a user; its `arm` names it."""
        if not self.bounds:
            return self.served
        place = place_of(user_id, self.salt)
        found = next((view for bound, view in zip(self.bounds, self.others, strict=True) if place < bound), None)
        return found or self.served


def place_of(user_id: str, salt: str) -> float:
    """Return where a user stands in [0, 1): evenly spread, another order for each salt."""
    hashed = blake2b(user_id.encode(), digest_size=8, key=salt.encode()[:64], person=b"freshet arm")
    return int.from_bytes(hashed.digest()) / 2**64


def line_up(builder: ViewBuilder, newest: Entry[Served], former: LineUp | None) -> LineUp:
    """Build the views of a served version and of every arm beside it; what `former` shares is not built again.

    Raises what `ViewBuilder.view` raises, and `UsageError` for an arm whose version does not exist.
    """
    arms = builder.settings.arm
    view = builder.view(newest, former.served if former else None)
    before = former.others if former else (None,) * len(arms)
    others = [_beside(builder, arm, view, was) for arm, was in zip(arms, before, strict=True)]
    return LineUp(view, tuple(others), tuple(accumulate(arm.share for arm in arms)), builder.settings.arm_salt)


def _beside(builder: ViewBuilder, arm: Arm, newest: ServedView, was: ServedView | None) -> ServedView:
    if arm.serves == "newest":
        return replace(newest, arm=arm.name)
    if arm.serves == "frozen":
        return replace(newest.frozen(was), arm=arm.name)
    if was:  # the content of a version never changes
        return was
    chain = served.chain(builder.layout)
    try:
        entry = chain.read(arm.serves)
    except ChainBroken:
        known = f"Versions 1 to {chain.head_number()}: `freshet publish history`."
        raise UsageError(f"arm {arm.name!r} serves version {arm.serves}, which does not exist", hint=known) from None
    return replace(builder.view(entry), arm=arm.name)


def shares(arms: Sequence[Arm]) -> dict[str, float]:
    """Return the share of users by arm, the rest by the newest version."""
    named = {arm.name: arm.share for arm in arms}
    return {**named, SERVED: round(1.0 - sum(named.values()), 9)}
