"""One user's answers side by side: before the last publish, now, and of every arm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from contracts import served
from contracts.errors import FreshetError
from serving.answer import Answer, Query
from serving.arms import LineUp
from serving.served_view import ServedView
from serving.view_builder import ViewBuilder
from serving.wire import UserPage

Found = TypeVar("Found")


class Comparison(msgspec.Struct, frozen=True):
    """What a user is answered by the newest version (`now`), was by the version before it, and is by every arm.

    `entered`: items of `now` that `before` lacks; `left`: the other way round. `arm`: the one that answers this user;
    `user`: how it knows them. What is None cannot be shown, and `faults` say why.
    """

    user_id: str
    arm: str
    now: Answer
    before: Answer | None
    entered: list[str]
    left: list[str]
    faults: list[str]
    arms: list[Answer]
    user: UserPage | None


class Comparer:
    """Keeps the view of the version before the served one for as long as that is served; any thread may ask.

    It shares rows with the served one, so after a publish it costs little. After a cut-over it holds the former base.
    """

    def __init__(self, builder: ViewBuilder) -> None:
        self._builder = builder
        self._lock = threading.Lock()
        self._held: tuple[int, ServedView] | None = None

    def compare(self, now: LineUp, query: Query, k: int, user: Callable[[], UserPage]) -> Comparison:
        """Return the answers for one user. They are looks: no metric counts them."""
        answer = now.served.retrieve(query.user_id, k, query.context)
        faults = list[str]()
        before = _or_say(faults, lambda: self._before(now.served.version).retrieve(query.user_id, k, query.context))
        return Comparison(
            user_id=query.user_id,
            arm=now.view_of(query.user_id).arm,
            now=answer,
            before=before,
            entered=_lacking(before, answer) if before else [],
            left=_lacking(answer, before) if before else [],
            faults=faults,
            arms=[view.retrieve(query.user_id, k, query.context) for view in now.others],
            user=_or_say(faults, user),
        )

    def forget_but(self, version: int) -> None:
        """Let go of the view that was held for another version than the one that answers now."""
        if self._lock.acquire(blocking=False):  # else a view is being opened, and the held one was let go of already
            try:
                if self._held and self._held[0] != version:
                    self._held = None
            finally:
                self._lock.release()

    def _before(self, version: int) -> ServedView:
        """Return the held view, or open it: who asks meanwhile is told so, and keeps no thread from answering."""
        held = self._held
        if held and held[0] == version:
            return held[1]
        if version == 1:
            raise FreshetError("version 1 is the first: nothing was served before it")
        if not self._lock.acquire(blocking=False):
            raise FreshetError("the former version is being opened: ask again")
        try:
            self._held = None
            view = self._builder.view(served.chain(self._builder.layout).read(version - 1))
            self._held = version, view
            return view
        finally:
            self._lock.release()


def _or_say(faults: list[str], find: Callable[[], Found]) -> Found | None:
    try:
        return find()
    except (FreshetError, OSError) as error:
        faults.append(str(error))
        return None


def _lacking(one: Answer, other: Answer) -> list[str]:
    """Return the items of `other` that `one` lacks, the best first."""
    names = {item.item_id for item in one.items}
    return [item.item_id for item in other.items if item.item_id not in names]
