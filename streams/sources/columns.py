"""How the columns of a table become clicks: named on the command line, checked before anything is read."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from pathlib import Path

from contracts.errors import MissingInput, UsageError
from contracts.events import EARLIEST, LATEST, Click, Context, Event
from streams.log import RawRecord

TIME_UNITS = ("ms", "s", "us", "iso")
ROLES = ("user", "item", "time", "ingest", "request", "event_id")
# A bad row keeps so much of its text; a dead letter keeps less.
QUOTED_CHARACTERS = 4096
TOLD_CHARACTERS = 160
# So many first rows of a file say whether it is what it is taken for.
PROBED = 20

_KEPT_CONTEXTS = 1 << 16
_FEATURE_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_FURTHEST = 1 << 62


@dataclass(frozen=True)
class Columns:
    """Which column plays which part; `discrete` and `continuous` are pairs of feature name and column.

    `ingest` empty: the event came in when it happened. `request` and `event_id` empty: not known.
    """

    user: str
    item: str
    time: str
    ingest: str = ""
    request: str = ""
    event_id: str = ""
    discrete: tuple[tuple[str, str], ...] = ()
    continuous: tuple[tuple[str, str], ...] = ()
    time_unit: str = "ms"

    def needed(self) -> list[str]:
        """Return the columns that a table must have."""
        roles = [self.user, self.item, self.time, self.ingest, self.request, self.event_id]
        return [name for name in roles if name] + [column for _, column in self.discrete + self.continuous]

    @property
    def ordered_by(self) -> str:
        """The column that the log has to be sorted by."""
        return self.ingest or self.time


def columns_from(roles: str, discrete: str = "", continuous: str = "", time_unit: str = "ms") -> Columns:
    """Read `user=uid,item=article,time=ts` and lists of `column` or `feature=column`. Raises `UsageError`."""
    named = dict(_pairs(roles, "--columns"))
    unknown, missing = set(named) - set(ROLES), {"user", "item", "time"} - set(named)
    if unknown or missing:
        wrong = (
            f"{sorted(unknown)[0]!r} is none of {', '.join(ROLES)}" if unknown else f"{sorted(missing)[0]} is missing"
        )
        raise UsageError(f"--columns {roles}: {wrong}", hint="Write --columns user=COLUMN,item=COLUMN,time=COLUMN.")
    return Columns(
        **named,
        discrete=_features(discrete, "--context-columns"),
        continuous=_features(continuous, "--number-columns"),
        time_unit=time_unit,
    )


def click_reader(columns: Columns) -> Callable[[Mapping[str, object]], Click]:
    """Return the function from a row (column to value) to a click. It raises ValueError with the reason."""
    milliseconds = MILLISECONDS[columns.time_unit]

    def read(row: Mapping[str, object]) -> Click:
        time = milliseconds(row.get(columns.time))
        discrete = {name: text_of(v) for name, column in columns.discrete if (v := row.get(column)) not in ABSENT}
        continuous = {name: number_of(v) for name, column in columns.continuous if (v := row.get(column)) not in ABSENT}
        return Click(
            text_of(row.get(columns.user)),
            text_of(row.get(columns.item)),
            time,
            milliseconds(row.get(columns.ingest)) if columns.ingest else time,
            _optional(row, columns.event_id),
            _optional(row, columns.request),
            Context(discrete, continuous),
        )

    return read


def row_reader(columns: Columns, header: list[str]) -> Callable[[list[str]], Click]:
    """Return what `click_reader` does for the rows of a table, several times as quick: as many fields as `header`.

    Contexts are few and rows are many: each is made and checked once. Raises ValueError with the reason.
    """
    at = {name: place for place, name in enumerate(header)}
    milliseconds, contexts = MILLISECONDS[columns.time_unit], _Contexts(columns, header)
    user, item, time = at[columns.user], at[columns.item], at[columns.time]
    ingest, event_id, request = (at.get(name) for name in (columns.ingest, columns.event_id, columns.request))

    def read(row: list[str]) -> Click:
        happened = milliseconds(row[time])
        context = contexts[contexts.fields(row)]
        return Click(
            text_of(row[user]),
            text_of(row[item]),
            happened,
            happened if ingest is None else milliseconds(row[ingest]),
            "" if event_id is None else text_of(row[event_id]),
            "" if request is None else text_of(row[request]),
            context,
        )

    return read


class _Contexts(dict[tuple[str, ...], Context]):
    """Contexts by the fields that they are made of; those that are asked for once too often are made again."""

    def __init__(self, columns: Columns, header: list[str]) -> None:
        at = {name: place for place, name in enumerate(header)}
        self._names = [name for name, _ in columns.discrete], [name for name, _ in columns.continuous]
        self.fields = _fields([at[column] for _, column in columns.discrete + columns.continuous])

    def __missing__(self, fields: tuple[str, ...]) -> Context:
        discrete, continuous = self._names
        made = Context(
            {name: text_of(text) for name, text in zip(discrete, fields, strict=False) if text},
            {n: number_of(text) for n, text in zip(continuous, fields[len(discrete) :], strict=True) if text},
        )
        if len(self) >= _KEPT_CONTEXTS:
            self.clear()
        self[fields] = made
        return made


def _fields(places: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return the function that picks these fields of a row as a tuple, however many they are."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[place] for place in places)


def check_clicks(path: Path, first: Sequence[Event | RawRecord], columns: Columns) -> None:
    """Judge the first rows of a file: there is one, one is a click, one has a possible time.

    Raises `MissingInput` or `UsageError`.
    """
    if not first:
        raise MissingInput(f"{path} holds no rows", hint="Check that it is the whole file.")
    clicks = [row for row in first if isinstance(row, Click)]
    if not clicks and isinstance(first[0], RawRecord):
        raise UsageError(
            f"{path} holds no clicks where they are looked for: {told(first[0])}",
            hint="Check --columns and --time-unit (ms, s, us or iso).",
        )
    if not any(EARLIEST <= click.ingest_time < LATEST for click in clicks):
        raise UsageError(
            f"{path}: {columns.ordered_by}, read as {columns.time_unit}, is no time between 1990 and 2099",
            hint="Say what its times count with --time-unit ms, s, us or iso.",
        )


def bad_row(where: str, reason: str, text: str) -> RawRecord:
    """Return the record that stands for a row that is no click: where it was, why, and its text. Never JSON."""
    return RawRecord(f"bad row: {where}: {reason}: {text[:QUOTED_CHARACTERS]}".encode(errors="replace"))


def told(row: RawRecord) -> str:
    """Return what a person is told of a bad row: its beginning in plain ASCII, as strangers wrote it."""
    return row.value.decode(errors="replace")[:TOLD_CHARACTERS].encode("unicode_escape").decode()


ABSENT = ("", None)


def text_of(value: object) -> str:
    """Return an id or a discrete feature as text. Raises ValueError where it is neither text nor a whole number."""
    if isinstance(value, str):
        value.encode()  # bytes that are no UTF-8 came in as lone surrogates
        return value
    if isinstance(value, int):
        return str(value)
    raise ValueError(f"{value!r} is neither text nor a whole number")


def _optional(row: Mapping[str, object], column: str) -> str:
    value = row.get(column) if column else ""
    return "" if value is None else text_of(value)


def number_of(value: object) -> float:
    """Return a number, also one written as text. Raises ValueError where it is not finite."""
    number = float(value) if isinstance(value, str | int | float) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


_UNIT_NAMES = {"1": "milliseconds", "1000": "seconds", "0.001": "microseconds"}


def _scaled(per_millisecond: str) -> Callable[[object], int]:
    factor = Decimal(per_millisecond)

    def milliseconds(value: object) -> int:
        try:
            exact = Decimal(str(value)) * factor
            if abs(exact) < _FURTHEST:
                return int(exact)
        except ArithmeticError:
            pass
        raise ValueError(f"time {value!r} is not a number of {_UNIT_NAMES[per_millisecond]}")

    return milliseconds


def _milliseconds(value: object) -> int:
    if isinstance(value, str) and value.isdigit() and len(value) < 18:
        return int(value)
    return _scaled("1")(value)


def _iso(value: object) -> int:
    try:
        time = dt.datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"time {value!r} is not like 2017-10-01T03:00:00") from None
    return int((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp() * 1000)


MILLISECONDS: dict[str, Callable[[object], int]] = {
    "ms": _milliseconds,
    "s": _scaled("1000"),
    "us": _scaled("0.001"),
    "iso": _iso,
}


def _pairs(text: str, option: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(not name or not column for name, _, column in pairs):
        raise UsageError(f"{option} {text!r} is not a list of NAME=COLUMN", hint="For example: user=uid,item=article.")
    return [(name.strip(), column.strip()) for name, _, column in pairs]


def _features(text: str, option: str) -> tuple[tuple[str, str], ...]:
    parts = (part.strip() for part in text.split(",") if part.strip())
    pairs = _pairs(",".join(part if "=" in part else f"{part}={part}" for part in parts), option)
    for name, _ in pairs:
        if not _FEATURE_NAME.fullmatch(name):
            raise UsageError(
                f"{option}: {name!r} cannot name a feature", hint="Give it a name of letters and digits: NAME=COLUMN."
            )
    return tuple(pairs)
