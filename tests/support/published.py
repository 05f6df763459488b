"""Files in the exact schemas in which EB-NeRD and MIND are published, with rows of one's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IDS, NUMBERS, TIME = pa.list_(pa.int32()), pa.list_(pa.float32()), pa.timestamp("us")
BEHAVIORS = pa.schema(
    {
        "impression_id": pa.uint32(),
        "article_id": pa.int32(),
        "impression_time": TIME,
        "read_time": pa.float32(),
        "scroll_percentage": pa.float32(),
        "device_type": pa.int8(),
        "article_ids_inview": IDS,
        "article_ids_clicked": IDS,
        "user_id": pa.uint32(),
        "is_sso_user": pa.bool_(),
        "gender": pa.int8(),
        "postcode": pa.int8(),
        "age": pa.int8(),
        "is_subscriber": pa.bool_(),
        "session_id": pa.uint32(),
        "next_read_time": pa.float32(),
        "next_scroll_percentage": pa.float32(),
    }
)
HISTORY = pa.schema(
    {
        "user_id": pa.uint32(),
        "impression_time_fixed": pa.list_(TIME),
        "scroll_percentage_fixed": NUMBERS,
        "article_id_fixed": IDS,
        "read_time_fixed": NUMBERS,
    }
)
ARTICLES = pa.schema(
    {
        "article_id": pa.int32(),
        "title": pa.string(),
        "subtitle": pa.string(),
        "last_modified_time": TIME,
        "premium": pa.bool_(),
        "body": pa.string(),
        "published_time": TIME,
        "image_ids": pa.list_(pa.int64()),
        "article_type": pa.string(),
        "url": pa.string(),
        "ner_clusters": pa.list_(pa.string()),
        "entity_groups": pa.list_(pa.string()),
        "topics": pa.list_(pa.string()),
        "category": pa.int16(),
        "subcategory": pa.list_(pa.int16()),
        "category_str": pa.string(),
        "total_inviews": pa.int32(),
        "total_pageviews": pa.int32(),
        "total_read_time": pa.float32(),
        "sentiment_score": pa.float32(),
        "sentiment_label": pa.string(),
    }
)
MORNING = dt.datetime(2023, 5, 18, 7, 0, 1)
MORNING_MS = 1_684_393_201_000


def impression(number: int, user: int, seconds: float, **more: Any) -> dict[str, Any]:
    """Return a row of EB-NeRD's impressions, `seconds` after `MORNING`; of 31, 32 and 33 the second one is clicked."""
    usual = {"article_ids_inview": [31, 32, 33], "article_ids_clicked": [32], "device_type": 2, "read_time": 21.0}
    time = MORNING + dt.timedelta(seconds=seconds)
    return usual | {"impression_id": number, "user_id": user, "impression_time": time} | more


def history(user: int, clicks: Mapping[float, int]) -> dict[str, Any]:
    """Return a row of EB-NeRD's histories: articles by the seconds after `MORNING`."""
    times = [MORNING + dt.timedelta(seconds=seconds) for seconds in clicks]
    return {"user_id": user, "impression_time_fixed": times, "article_id_fixed": list(clicks.values())}


def write(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as parquet; what a row lacks is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
    return path


def mind_line(number: int, user: str, time: str, history: str = "", shown: str = "N1-0 N2-1 N3-0") -> str:
    """Return a line of MIND's impressions."""
    return f"{number}\t{user}\t{time}\t{history}\t{shown}\n"


def news_line(news_id: str, category: str = "sports", subcategory: str = "football_nfl") -> str:
    """Return a line of MIND's news."""
    return f"{news_id}\t{category}\t{subcategory}\tA title\tAn abstract.\thttps://example.org/x\t[]\t[]\n"
