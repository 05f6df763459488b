"""Logs of impressions: what a user was shown at a time, and what of it was clicked. EB-NeRD and MIND are such logs.

An impression becomes a request with all that was shown, then a click for each clicked item that names the request, all
at the impression's time: such logs know no other. An item that was shown and not clicked stays in the request and is
never a negative. These logs are published in the order of impression ids, so they are put in the order of time here.

What a user clicked before the log (a history) becomes clicks without a request, all before the first impression; of a
user one history counts, the first one. Items come one millisecond before everything else. An impression that cannot be
an event is a bad row, at the place of the one before it in its file: a dead letter, not a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from contracts.errors import MissingInput, UsageError
from contracts.events import EARLIEST, LATEST, Click, Context, Item, Request, Shown
from streams.log import RawRecord
from streams.sources.columns import PROBED, told
from streams.sources.source import Events
from streams.sources.time_order import TimeOrder

MOST_SHOWN = 1000
_ID_CHARACTERS = 256


class Impression(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`request_id` empty: clicks of a history, of which nobody knows what was shown."""

    request_id: str
    user_id: str
    shown: tuple[str, ...]
    clicked: tuple[str, ...]
    context: dict[str, str] = {}


class Row(NamedTuple):
    """An impression and when it was, in ms."""

    time: int
    impression: Impression


Rows = Iterator[Row | RawRecord]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Impression | bytes).decode


def checked(time: int, impression: Impression) -> Row:
    """Return the row of an impression. Raises ValueError, with the reason, where no event could hold it."""
    if not EARLIEST <= time < LATEST:
        raise ValueError(f"its time, {time} ms, is not between 1990 and 2099")
    if not impression.shown:
        raise ValueError("nothing was shown")
    if len(impression.shown) > MOST_SHOWN:
        raise ValueError(f"{len(impression.shown)} items were shown, at most {MOST_SHOWN} are told of")
    for name in (impression.request_id, impression.user_id, *impression.shown, *impression.clicked):
        check_id(name)
    for item in impression.clicked:
        check_id(_event_id(impression, item))
    for feature, text in impression.context.items():
        if len(text) > _ID_CHARACTERS:
            raise ValueError(f"{feature} is longer than {_ID_CHARACTERS} characters")
    return Row(time, impression)


def check_id(name: str) -> None:
    """Raise ValueError where a text cannot be an id."""
    if not 0 < len(name) <= _ID_CHARACTERS:
        raise ValueError(f"an id has 1 to {_ID_CHARACTERS} characters, {name[:20]!r} has {len(name)}")


def check_rows(path: Path, rows: Rows, hint: str) -> None:
    """Judge the first rows of a file: there is one, and one is an impression. Raises `MissingInput`, `UsageError`."""
    first = list(islice(rows, PROBED))
    if not first:
        raise MissingInput(f"{path} holds no rows", hint="Check that it is the whole file.")
    if isinstance(first[0], RawRecord) and not any(isinstance(row, Row) for row in first):
        raise UsageError(f"{path} holds no impressions where they are looked for: {told(first[0])}", hint=hint)


class Gathered:
    """All of a log, gathered and then told in order. A context manager; memory is bounded but for the users' names."""

    def __init__(self) -> None:
        self._impressions, self._past = TimeOrder(), TimeOrder()
        self._users: set[str] = set()  # those whose history is known
        self._now = 0
        self.first = LATEST

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._impressions)
            stack.enter_context(self._past)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, row: Row | RawRecord) -> None:
        """Take an impression, or a row that is none."""
        if isinstance(row, Row):
            self._now = row.time
            self.first = min(self.first, row.time)
        self._impressions.add(self._now, _encode(row.impression if isinstance(row, Row) else row.value))

    def has_history(self, user_id: str) -> bool:
        """Whether a history of this user is known; from now on it is."""
        if user_id in self._users:
            return True
        self._users.add(user_id)
        return False

    def add_past(self, time: int, user_id: str, item_id: str) -> None:
        """Take a click of a history; `told` may still move all of them."""
        self._past.add(time, _encode(Impression("", user_id, (), (item_id,))))

    def told(self, shift_ms: int, items: Iterable[Item | RawRecord]) -> Events:
        """Yield the items, the clicks of histories, `shift_ms` later than they were added with, and the impressions."""
        past = iter(self._past)
        earliest = next(past, None)
        start = self.first if earliest is None else max(earliest[0] + shift_ms, EARLIEST)
        before = max(start - 1, EARLIEST)
        if start < LATEST:
            for item in items:
                yield item if isinstance(item, RawRecord) else msgspec.structs.replace(item, ingest_time=before)
        if earliest is not None:
            for time, data in chain([earliest], past):
                yield from _events(max(time + shift_ms, EARLIEST), data)
        for time, data in self._impressions:
            yield from _events(time, data)


def once(items: Iterable[Item | RawRecord]) -> Iterator[Item | RawRecord]:
    """Yield of several items of one id the first one alone."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, RawRecord):
            yield item
        elif item.item_id not in seen:
            seen.add(item.item_id)
            yield item


def numbered(number: int, request_id: str) -> str:
    """Return a request's id that is its own among those of all files: each file may count from 1."""
    return request_id if number == 0 else f"{number + 1}-{request_id}"


def content_of(features: Mapping[str, str]) -> Context:
    """Return an item's content, without what is empty. Raises ValueError where a text is too long."""
    for name, text in features.items():
        if len(text) > _ID_CHARACTERS:
            raise ValueError(f"{name} is longer than {_ID_CHARACTERS} characters")
    return Context({name: text for name, text in features.items() if text})


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names in order, each once."""
    return tuple(dict.fromkeys(names))


def _events(time: int, data: bytes) -> Events:
    row = _decode(data)
    if isinstance(row, bytes):
        yield RawRecord(row)
        return
    if row.request_id:
        shown = tuple([Shown(item, position) for position, item in enumerate(row.shown)])
        yield Request(row.request_id, row.user_id, time, time, Context(row.context), shown)
    for item in row.clicked:
        yield Click(row.user_id, item, time, time, _event_id(row, item), row.request_id)


def _event_id(row: Impression, item: str) -> str:
    """Return the id of a click: an impression that is told twice is clicked once."""
    return f"{row.request_id}/{item}" if row.request_id else ""
