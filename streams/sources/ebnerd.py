"""EB-NeRD, the news impressions of Ekstra Bladet (RecSys Challenge 2024), as parquet.

One split (`behaviors.parquet`, `history.parquet`), or a folder with the folders `train` and `validation`, and
`articles.parquet` in or above it. Times name no zone and are taken as UTC. What came after the impression (reading
time, scrolling, an article's views) is no feature of it and is not read; neither are gender, age and postcode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.events import EARLIEST, LATEST, Item
from streams.log import RawRecord
from streams.sources.arrow import ParquetTable
from streams.sources.columns import bad_row, text_of
from streams.sources.files import files_beside, split_files
from streams.sources.impressions import (
    Gathered,
    Impression,
    Rows,
    check_id,
    check_rows,
    checked,
    content_of,
    distinct,
    numbered,
    once,
)
from streams.sources.parquet import rows_of
from streams.sources.source import Events

BEHAVIORS, HISTORY, ARTICLES = "behaviors.parquet", "history.parquet", "articles.parquet"

_IDS, _LISTS = ("whole", "text"), ("list of whole", "list of text")
_BEHAVIORS = {
    "impression_id": _IDS,
    "user_id": _IDS,
    "impression_time": ("time",),
    "article_ids_inview": _LISTS,
    "article_ids_clicked": _LISTS,
}
_HISTORY = {"user_id": _IDS, "impression_time_fixed": ("list of time",), "article_id_fixed": _LISTS}
_ARTICLES = {"article_id": _IDS, "published_time": ("time",)}
# Features by name, and the column that they come from, if it is there.
_CONTEXT = {"device": "device_type", "subscriber": "is_subscriber", "sso": "is_sso_user"}
_CONTENT = {"category": "category_str", "type": "article_type", "premium": "premium", "sentiment": "sentiment_label"}
_PAGE = "article_id"
_HINT = "Is it EB-NeRD? Its test part tells no clicks; other parquet is read with --format parquet --columns ..."


@dataclass(frozen=True)
class Files:
    """The files of impressions, and of histories and articles where they stand with them."""

    behaviors: tuple[Path, ...]
    histories: tuple[Path, ...] = ()
    articles: tuple[Path, ...] = ()


def ebnerd_files(path: Path) -> Files:
    """Return what a folder holds; a file of impressions that is named itself is read alone. Raises `MissingInput`."""
    behaviors = split_files(path, BEHAVIORS)
    if not path.is_dir():
        return Files(behaviors)
    return Files(behaviors, files_beside(behaviors, HISTORY), files_beside(behaviors, ARTICLES))


def is_ebnerd(path: Path) -> bool:
    """Whether a parquet file has the columns of EB-NeRD's impressions. Raises `MissingInput`."""
    return not set(_BEHAVIORS) - set(ParquetTable(path).kinds)


def check_ebnerd(files: Files) -> None:
    """Look at the columns of all files and at the first impressions. Raises `UsageError` or `MissingInput`."""
    for path in files.behaviors:
        check_rows(path, _read_impressions(0, path), _HINT)
    for path in files.histories:
        _table(path, _HISTORY)
    for path in files.articles:
        _table(path, _ARTICLES)


def events_in(files: Files) -> int | None:
    """Return about how many events the files hold, one click an impression; None where there are histories too."""
    return None if files.histories else sum(2 * ParquetTable(path).rows for path in files.behaviors)


def read_ebnerd(files: Files) -> Events:
    """Yield articles, clicks of histories, requests and clicks, in the order of their times."""
    with Gathered() as gathered:
        for number, path in enumerate(files.behaviors):
            for row in _read_impressions(number, path):
                gathered.add(row)
        for path in files.histories:
            _gather_history(gathered, path)
        yield from gathered.told(0, once(item for path in files.articles for item in _read_articles(path)))


def _table(path: Path, needed: dict[str, tuple[str, ...]]) -> ParquetTable:
    table = ParquetTable(path)
    for name, kinds in needed.items():
        table.need(name, kinds, _HINT)
    return table


def _read_impressions(file_number: int, path: Path) -> Rows:
    table = _table(path, _BEHAVIORS)
    context = {feature: column for feature, column in _CONTEXT.items() if column in table.kinds}
    names = [*_BEHAVIORS, *context.values(), *([_PAGE] if _PAGE in table.kinds else [])]
    for number, values in enumerate(rows_of(table, names), start=1):
        row = dict(zip(names, values, strict=True))
        try:
            impression = Impression(
                numbered(file_number, text_of(row["impression_id"])),
                text_of(row["user_id"]),
                _ids(row["article_ids_inview"]),
                distinct(_ids(row["article_ids_clicked"])),
                _texts(row, context) | _page(row),
            )
            yield checked(_time(row["impression_time"]), impression)
        except ValueError as error:
            yield bad_row(f"{path.name}: row {number}", str(error), repr(values))


def _gather_history(gathered: Gathered, path: Path) -> None:
    """Take the clicks before the first impression; those after it stand among the impressions."""
    table = _table(path, _HISTORY)
    for number, (user, times, items) in enumerate(rows_of(table, list(_HISTORY)), start=1):
        try:
            user_id, happened, clicked = text_of(user), _list(times), _ids(items)
            for name in (user_id, *clicked):
                check_id(name)
            if len(happened) != len(clicked):
                raise ValueError(f"{len(happened)} times for {len(clicked)} articles")
            if any(time is None or time < EARLIEST for time in happened):
                raise ValueError("one of its times is null, or before 1990")
        except ValueError as error:
            gathered.add(bad_row(f"{path.name}: row {number}", str(error), repr((user, times, items))))
            continue
        if not gathered.has_history(user_id):
            for time, item in zip(happened, clicked, strict=True):
                if time < gathered.first:
                    gathered.add_past(time, user_id, item)


def _read_articles(path: Path) -> Iterator[Item | RawRecord]:
    table = _table(path, _ARTICLES)
    content = {feature: column for feature, column in _CONTENT.items() if column in table.kinds}
    names = [*_ARTICLES, *content.values()]
    for number, values in enumerate(rows_of(table, names), start=1):
        row = dict(zip(names, values, strict=True))
        try:
            item_id, published = text_of(row["article_id"]), row["published_time"]
            check_id(item_id)
            since = published if published is not None and EARLIEST <= published < LATEST else 0
            yield Item(item_id, 0, content_of(_texts(row, content)), available_from=since)
        except ValueError as error:
            yield bad_row(f"{path.name}: row {number}", str(error), repr(values))


def _time(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError("impression_time is null")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list")
    return value


def _ids(value: object) -> tuple[str, ...]:
    return tuple([text_of(item) for item in _list(value)])


def _texts(row: dict[str, Any], features: dict[str, str]) -> dict[str, str]:
    found = {feature: row[column] for feature, column in features.items() if row[column] not in ("", None)}
    return {
        feature: str(value).lower() if isinstance(value, bool) else text_of(value) for feature, value in found.items()
    }


def _page(row: dict[str, Any]) -> dict[str, str]:
    if _PAGE not in row:
        return {}
    return {"page": "front" if row[_PAGE] is None else "article"}
