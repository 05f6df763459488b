"""EB-NeRD: impressions, histories and articles out of parquet; what is a bad row; what is refused at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import MissingInput, UsageError
from contracts.events import Click, Context, Item, Request, Shown
from streams.log import RawRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from streams.sources.source import Source
from tests.support.published import ARTICLES, BEHAVIORS, HISTORY, MORNING, MORNING_MS, history, impression, write

SHOWN = (Shown("31", 0), Shown("32", 1), Shown("33", 2))


def opened(folder: Path, *rows: dict[str, Any], schema: pa.Schema = BEHAVIORS) -> Source:
    write(folder / "behaviors.parquet", schema, rows)
    return open_source(SourceOptions(data=folder))


def altered(name: str, kind: pa.DataType) -> pa.Schema:
    return BEHAVIORS.set(BEHAVIORS.get_field_index(name), pa.field(name, kind))


def test_an_impression_becomes_a_request_with_all_that_was_shown_and_clicks_that_name_it(tmp_path: Path) -> None:
    source = opened(tmp_path, impression(48401, 22779, 0, is_subscriber=True, is_sso_user=False, article_id=None))
    context = Context({"device": "2", "subscriber": "true", "sso": "false", "page": "front"})
    assert list(source.events()) == [
        Request("48401", "22779", MORNING_MS, MORNING_MS, context, SHOWN),
        Click("22779", "32", MORNING_MS, MORNING_MS, "48401/32", "48401"),
    ]
    assert (source.name.partition("-")[0], source.day_zone, source.total) == ("ebnerd", "UTC", 2)


def test_what_is_known_only_after_the_impression_or_is_personal_is_no_feature(tmp_path: Path) -> None:
    later = {"scroll_percentage": 90.0, "next_read_time": 8.0, "next_scroll_percentage": 70.0}
    request, *_ = opened(tmp_path, impression(1, 2, 0, gender=1, postcode=2, age=40, article_id=5, **later)).events()
    assert isinstance(request, Request)
    assert request.context == Context({"device": "2", "page": "article"})


def test_impressions_come_in_the_order_of_their_times_as_they_are_published_in_that_of_their_ids(
    tmp_path: Path,
) -> None:
    source = opened(tmp_path, impression(1, 7, 50), impression(2, 7, 10), impression(3, 8, 30))
    assert [event.request_id for event in source.events() if isinstance(event, Request)] == ["2", "3", "1"]
    assert len(list(source.records(2))) > 6  # nothing is refused as disorder


def test_several_clicks_of_an_impression_are_several_events_one_told_twice_is_one(tmp_path: Path) -> None:
    _, *clicks = opened(tmp_path, impression(1, 7, 0, article_ids_clicked=[33, 31, 33])).events()
    assert [(click.item_id, click.request_id) for click in clicks if isinstance(click, Click)] == [
        ("33", "1"),
        ("31", "1"),
    ]


def test_a_history_gives_the_clicks_before_the_first_impression_each_users_first_one_alone(tmp_path: Path) -> None:
    for split, offset in (("train", 0), ("validation", 500)):
        write(tmp_path / split / "behaviors.parquet", BEHAVIORS, [impression(1, 7, offset + 10)])
    write(tmp_path / "train" / "history.parquet", HISTORY, [history(7, {-20: 41, -10: 42, 11: 43})])
    later = [history(7, {-10: 42, 300: 44}), history(8, {-5: 45, 400: 46})]
    write(tmp_path / "validation" / "history.parquet", HISTORY, later)
    source = open_source(SourceOptions(data=tmp_path))
    past = [event for event in source.events() if isinstance(event, Click) and not event.request_id]
    assert past == [
        Click("7", "41", MORNING_MS - 20_000, MORNING_MS - 20_000),
        Click("7", "42", MORNING_MS - 10_000, MORNING_MS - 10_000),
        Click("8", "45", MORNING_MS - 5_000, MORNING_MS - 5_000),
    ]


def test_articles_beside_or_above_become_items_without_what_came_of_them(tmp_path: Path) -> None:
    write(tmp_path / "train" / "behaviors.parquet", BEHAVIORS, [impression(1, 7, 0)])
    published = MORNING - dt.timedelta(days=1)
    article = {"article_id": 31, "category_str": "krimi", "premium": True, "published_time": published}
    write(tmp_path / "articles.parquet", ARTICLES, [article | {"total_inviews": 9, "total_pageviews": 5, "body": "x"}])
    for data in (tmp_path, tmp_path / "train"):
        item, *rest = open_source(SourceOptions(data=data)).events()
        content = Context({"category": "krimi", "premium": "true"})
        assert item == Item("31", MORNING_MS - 1, content, available_from=MORNING_MS - 86_400_000)
        assert len(rest) == 2


def test_a_file_of_impressions_that_is_named_itself_is_read_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "some.parquet", BEHAVIORS, [impression(1, 7, 0)])
    write(tmp_path / "history.parquet", HISTORY, [history(7, {-20: 41})])
    assert [type(event) for event in open_source(SourceOptions(data=path)).events()] == [Request, Click]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"impression_time": None}, "impression_time is null"),
        ({"impression_time": dt.datetime(1901, 1, 1)}, "is not between 1990 and 2099"),
        ({"impression_time": dt.datetime(9999, 1, 1)}, "is not between 1990 and 2099"),
        ({"user_id": None}, "None is neither text nor a whole number"),
        ({"impression_id": None}, "None is neither text nor a whole number"),
        ({"article_ids_inview": None}, "None is no list"),
        ({"article_ids_clicked": None}, "None is no list"),
        ({"article_ids_inview": []}, "nothing was shown"),
        ({"article_ids_inview": [1, None]}, "None is neither text nor a whole number"),
        ({"article_ids_inview": list(range(1001))}, "1001 items were shown, at most 1000"),
        ({"article_ids_inview": [1] * 100_001}, "TooLong(length=100001) is no list"),
    ],
)
def test_a_row_that_is_no_impression_becomes_a_record_that_names_file_row_and_reason(
    tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    source = opened(tmp_path, impression(1, 7, 0), impression(2, 7, 5, **wrong), impression(3, 7, 9))
    bad = [event for event in source.events() if isinstance(event, RawRecord)]
    assert len(bad) == 1 and "behaviors.parquet: row 2: " in bad[0].value.decode()
    assert reason in bad[0].value.decode()


@pytest.mark.parametrize(
    "wrong",
    [{"article_id_fixed": [41, 42]}, {"impression_time_fixed": [None]}, {"user_id": None}, {"article_id_fixed": None}],
)
def test_a_history_that_cannot_be_clicks_is_a_bad_row(tmp_path: Path, wrong: dict[str, Any]) -> None:
    broken = history(7, {-20: 41}) | wrong
    write(tmp_path / "history.parquet", HISTORY, [broken, history(8, {-20: 41})])
    events = list(opened(tmp_path, impression(1, 7, 0)).events())
    assert [type(event) for event in events] == [Click, Request, Click, RawRecord]


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (BEHAVIORS.remove(BEHAVIORS.get_field_index("article_ids_clicked")), "no column 'article_ids_clicked'"),
        (altered("impression_time", pa.string()), "'impression_time' holds text, not time"),
        (altered("user_id", pa.float64()), "'user_id' holds number, not whole or text"),
        (altered("article_ids_inview", pa.string()), "'article_ids_inview' holds text, not list of whole"),
    ],
)
def test_a_file_whose_columns_are_others_is_refused_by_name(tmp_path: Path, schema: pa.Schema, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        opened(tmp_path, schema=schema)
    assert "EB-NeRD" in refused.value.hint


def test_ids_may_be_text(tmp_path: Path) -> None:
    schema = altered("user_id", pa.large_string())
    request, *_ = opened(tmp_path, impression(1, 7, 0) | {"user_id": "ål"}, schema=schema).events()
    assert isinstance(request, Request) and request.user_id == "ål"


@pytest.mark.parametrize("keep", [0, 3, 1000, -1])
def test_a_truncated_file_is_refused_with_a_hint(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "behaviors.parquet", BEHAVIORS, [impression(n, n, n) for n in range(500)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MissingInput, match="cannot be read as parquet") as refused:
        open_source(SourceOptions(data=tmp_path))
    assert "Fetch" in refused.value.hint and "\n" not in str(refused.value)


def test_a_file_damaged_in_its_pages_is_named_with_the_row_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.parquet"
    rows = pa.Table.from_pylist([impression(n, n, n) for n in range(40_000)], BEHAVIORS)
    pq.write_table(rows, path, row_group_size=10_000, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5_000] = bytes(5_000)
    path.write_bytes(data)
    source = open_source(SourceOptions(data=tmp_path))
    with pytest.raises(MissingInput, match=r"behaviors\.parquet is damaged after row \d"):
        list(source.events())
