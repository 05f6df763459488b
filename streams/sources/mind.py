"""MIND, the news impressions of Microsoft News (Wu et al., ACL 2020), as tab-separated files without a header.

One part (`behaviors.tsv`, `news.tsv`), or a folder with the folders of several parts. A line of impressions names the
impression, the user, the time (`11/15/2019 8:55:22 AM`, taken as UTC), the user's history and what was shown, each with
`-1` where it was clicked and `-0` where it was not.

A history is a list of articles without times, clicked in the four weeks before the impressions, as the paper says. Its
clicks are spread in their order over the 28 days (UTC) before the log's first day, in the same places for the same user
each time; each user's first history in the files is the one that counts. So they are all in the log before its first
event, on days of their own that `--day` can leave away.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from contracts.events import Item
from streams.log import RawRecord
from streams.sources.columns import bad_row, text_of
from streams.sources.files import LINE_BYTES, files_beside, lines, split_files
from streams.sources.impressions import (
    Gathered,
    Impression,
    Row,
    check_id,
    check_rows,
    checked,
    content_of,
    distinct,
    numbered,
    once,
)
from streams.sources.source import Events

BEHAVIORS, NEWS = ("behaviors.tsv", "behaviors.tsv.gz"), ("news.tsv", "news.tsv.gz")

HISTORY_DAYS = 28

_DAY_MS = 86_400_000
_FIELDS, _NEWS_FIELDS = 5, 8
_TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2}):(\d{2}) ([AP])M", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1)
_HINT = (
    "Is it MIND? A line is id, user, time, history and what was shown, tab-separated; its test part tells no clicks."
)


@dataclass(frozen=True)
class Files:
    """The files of impressions, and of news where they stand with them."""

    behaviors: tuple[Path, ...]
    news: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of impressions: the impression, and what its user had clicked before it."""

    row: Row
    history: tuple[str, ...]


def mind_files(path: Path) -> Files:
    """Return what a folder holds; a file of impressions that is named itself is read alone. Raises `MissingInput`."""
    behaviors = split_files(path, *BEHAVIORS)
    return Files(behaviors, files_beside(behaviors, *NEWS) if path.is_dir() else ())


def is_mind(path: Path) -> bool:
    """Whether the first line of a file is one of MIND's impressions. Raises `MissingInput`."""
    return any(isinstance(line, Line) for line in islice(_read_lines(0, path), 1))


def check_mind(files: Files) -> None:
    """Look at the first lines of every file of impressions. Raises `UsageError` or `MissingInput`."""
    for path in files.behaviors:
        check_rows(path, (line.row if isinstance(line, Line) else line for line in _read_lines(0, path)), _HINT)


def read_mind(files: Files) -> Events:
    """Yield news, clicks of histories, requests and clicks, in the order of their times."""
    with Gathered() as gathered:
        for number, path in enumerate(files.behaviors):
            for line in _read_lines(number, path):
                if isinstance(line, RawRecord):
                    gathered.add(line)
                    continue
                gathered.add(line.row)
                user = line.row.impression.user_id
                if line.history and not gathered.has_history(user):
                    for time, item in zip(_places(user, len(line.history)), line.history, strict=True):
                        gathered.add_past(time, user, item)
        since = (gathered.first // _DAY_MS - HISTORY_DAYS) * _DAY_MS
        yield from gathered.told(since, once(item for path in files.news for item in _read_news(path)))


def _places(user: str, count: int) -> Iterator[int]:
    """Yield rising times (ms, from 0) for the clicks of a user's history; other users' lie between them."""
    shift = zlib.crc32(user.encode()) / 2**32
    return (int((place + shift) / count * HISTORY_DAYS * _DAY_MS) for place in range(count))


def _read_lines(file_number: int, path: Path) -> Iterator[Line | RawRecord]:
    for number, raw in enumerate(lines(path), start=1):
        if not raw.strip():
            continue
        text = raw.decode("utf-8", "surrogateescape")
        try:
            yield _line(file_number, _fields(raw, text, _FIELDS))
        except ValueError as error:
            yield bad_row(f"{path.name}:{number}", str(error), text)


def _line(file_number: int, fields: list[str]) -> Line:
    name, user, time, history, shown = (text_of(field) for field in fields)
    items, clicked = list[str](), list[str]()
    for told in shown.split():
        item, _, label = told.rpartition("-")
        if label not in ("0", "1"):
            raise ValueError(f"{told!r} does not say whether it was clicked: -1 or -0")
        items.append(item)
        if label == "1":
            clicked.append(item)
    past = tuple(history.split())
    for item in past:
        check_id(item)
    check_id(name)
    return Line(
        checked(_milliseconds(time), Impression(numbered(file_number, name), user, tuple(items), distinct(clicked))),
        past,
    )


def _read_news(path: Path) -> Iterator[Item | RawRecord]:
    for number, raw in enumerate(lines(path), start=1):
        if not raw.strip():
            continue
        text = raw.decode("utf-8", "surrogateescape")
        try:
            item_id, category, subcategory, *_ = (text_of(field) for field in _fields(raw, text, _NEWS_FIELDS))
            check_id(item_id)
            yield Item(item_id, 0, content_of({"category": category, "subcategory": subcategory}))
        except ValueError as error:
            yield bad_row(f"{path.name}:{number}", str(error), text)


def _fields(raw: bytes, text: str, count: int) -> list[str]:
    if len(raw) >= LINE_BYTES:
        raise ValueError("the line is too long")
    fields = text.split("\t")
    if len(fields) != count:
        raise ValueError(f"{len(fields)} tab-separated fields, not {count}")
    return fields


def _milliseconds(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"time {text!r} is not like 11/15/2019 8:55:22 AM")
    month, day, year, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not 1 <= hour <= 12:
        raise ValueError(f"time {text!r} has no hour from 1 to 12")
    time = dt.datetime(year, month, day, hour % 12 + (12 if found[7] == "P" else 0), minute, second)
    return (time - _EPOCH) // dt.timedelta(milliseconds=1)
