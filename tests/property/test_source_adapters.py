"""Whatever rows a published log holds: what an adapter makes of them are events, in order, or bad rows that say why."""

from __future__ import annotations

import datetime as dt
import string
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import EventRejected, OperatorError
from contracts.events import EARLIEST, Click, Event, Item, Request, decode, encode
from contracts.samples import samples_of
from streams.join import Windows
from streams.log import RawRecord
from streams.pipeline import Rotation
from streams.sources import impressions
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from streams.sources.time_order import TimeOrder
from tests.support.folds import closed_shards
from tests.support.logs import records
from tests.support.published import ARTICLES, BEHAVIORS, HISTORY, impression, mind_line, news_line, write

numbers = st.none() | st.integers(0, 6) | st.integers(0, 2**31 - 1)
lists = st.none() | st.lists(numbers, max_size=6)
times = st.none() | st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
near = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(1990, 1, 3))
behaviors = st.fixed_dictionaries(
    {
        "impression_id": numbers,
        "user_id": numbers,
        "impression_time": near | times,
        "article_ids_inview": lists,
        "article_ids_clicked": lists,
        "device_type": st.none() | st.integers(-128, 127),
    }
)
histories = st.fixed_dictionaries(
    {"user_id": numbers, "impression_time_fixed": st.lists(near | times, max_size=4), "article_id_fixed": lists}
)
articles = st.fixed_dictionaries(
    {"article_id": numbers, "published_time": times, "category_str": st.none() | st.text(max_size=300)}
)
clocks = near.map(lambda time: f"{time:%m/%d/%Y} {time:%I:%M:%S} {'AM' if time.hour < 12 else 'PM'}")
ids = st.text("N1-", max_size=3) | st.sampled_from(["N1", "N2"])
fields = st.text(st.characters(exclude_characters="\t\n\r"), max_size=4)
shown = st.lists(st.builds("{}-{}".format, ids, st.sampled_from("012")), max_size=5).map(" ".join)
mind = st.builds(mind_line, st.integers(0, 9), ids, clocks | fields, st.lists(ids, max_size=5).map(" ".join), shown)
lines = mind | st.lists(fields, max_size=9).map("\t".join).map("{}\n".format)


def judge(found: list[Event | RawRecord]) -> None:
    """Each event comes back as it was, its time does not go back, a click names a request that showed what it shows."""
    events = [event for event in found if not isinstance(event, RawRecord)]
    assert [decode(encode(event)) for event in events] == events
    moments = [event.ingest_time for event in events]
    assert moments == sorted(moments) and all(moment >= EARLIEST for moment in moments)
    asked = {event.request_id for event in events if isinstance(event, Request)}
    assert {event.request_id for event in events if isinstance(event, Click)} <= asked | {""}
    assert all(event.rejected == () for event in events if isinstance(event, Request))
    for record in found:
        if isinstance(record, RawRecord):
            with pytest.raises(EventRejected):
                decode(record.value)


def told(folder: Path) -> list[Event | RawRecord]:
    try:
        source = open_source(SourceOptions(data=folder))
    except OperatorError as error:
        assert error.hint
        return []
    first = list(source.events())
    assert list(source.events()) == first  # as often as one likes
    return first


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "TimeOrder", lambda: TimeOrder(run_bytes=500))


@given(st.lists(behaviors, max_size=8), st.lists(histories, max_size=4), st.lists(articles, max_size=4))
def test_whatever_rows_ebnerd_holds_its_events_survive_the_wire_in_order(
    rows: list[dict[str, Any]], past: list[dict[str, Any]], items: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "behaviors.parquet", BEHAVIORS, [impression(5, 5, 5), *rows])
        write(folder / "history.parquet", HISTORY, past)
        write(folder / "articles.parquet", ARTICLES, items)
        found = told(folder)
        judge(found)
        impressions_told = sum(isinstance(event, Request) for event in found)
        known = {event.item_id for event in found if isinstance(event, Item)}
        assert impressions_told >= 1 and known <= {str(item["article_id"]) for item in items}


@given(st.lists(lines, max_size=8), st.lists(st.builds(news_line, ids, fields, fields), max_size=4))
def test_whatever_lines_mind_holds_its_events_survive_the_wire_in_order(rows: list[str], news: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = mind_line(1, "U1", "1/2/1990 9:00:00 AM", "N9")
        (folder / "behaviors.tsv").write_text("".join([whole, *rows]))
        (folder / "news.tsv").write_text("".join(news))
        found = told(folder)
        judge(found)
        assert sum(isinstance(event, Request) for event in found) >= 1


columns = st.one_of(
    *(
        st.lists(st.none() | values, min_size=5, max_size=5).map(lambda found, kind=kind: pa.array(found, kind))  # type: ignore[misc]
        for values, kind in (
            (st.integers(-(2**63), 2**63 - 1), pa.int64()),
            (st.integers(0, 2**64 - 1), pa.uint64()),
            (st.floats(), pa.float64()),
            (st.text(string.printable, max_size=300), pa.string()),
            (st.booleans(), pa.bool_()),
            (st.integers(-(2**63), 2**63 - 1), pa.timestamp("ms")),
            (st.integers(-(2**63), 2**63 - 1), pa.timestamp("ns", "UTC")),
            (st.integers(-(2**31), 2**31 - 1), pa.date32()),
        )
    )
)


plausible = st.lists(st.none() | st.integers(EARLIEST, EARLIEST + 1000), min_size=5, max_size=5).map(
    lambda found: pa.array(found, pa.int64())
)


@given(st.tuples(columns, columns, plausible | columns, columns, columns))
def test_whatever_columns_parquet_holds_its_clicks_survive_the_wire_or_are_rejected_by_name(
    five: tuple[pa.Array, ...],
) -> None:
    names = ["user", "item", "time", "colour", "size"]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "log.parquet"
        pq.write_table(pa.table(dict(zip(names, five, strict=True))), path)
        options = SourceOptions(path, None, "user=user,item=item,time=time", "colour", "size")
        try:
            source = open_source(options)
        except OperatorError as error:
            assert error.hint
            return
        for event in source.events():
            try:
                value = event.value if isinstance(event, RawRecord) else encode(event)
                found = decode(value)
            except EventRejected:
                continue
            assert isinstance(found, Click) and isinstance(event, Click)
            assert decode(encode(found)) == found  # in the precision of float32
            assert (found.user_id, found.item_id, found.event_time) == (event.user_id, event.item_id, event.event_time)


@given(st.data())
def test_a_parquet_file_that_is_cut_or_flipped_anywhere_is_read_or_refused_by_name(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name) / "behaviors.parquet", BEHAVIORS, [impression(n, n % 7, n) for n in range(60)])
        whole = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(1, len(whole)), max_size=3)):  # from the end: there is the footer
            whole[-place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
        try:
            judge(list(open_source(SourceOptions(data=path, format="ebnerd")).events()))
        except OperatorError as error:
            assert error.hint and "\n" not in str(error)


@given(st.lists(shown, min_size=1, max_size=9))
def test_what_was_shown_and_not_clicked_is_a_negative_of_no_sample(told_of: list[str]) -> None:
    rows = [mind_line(n, f"U{n % 2}", f"1/3/1990 9:00:{n:02} AM", "N7", each) for n, each in enumerate(told_of)]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "behaviors.tsv"
        path.write_text("".join([mind_line(99, "U1", "1/3/1990 8:00:00 AM"), *rows]))
        source = open_source(SourceOptions(data=path))
        values = [record.value for record in source.records(1)]
        clicks = sum(isinstance(event, Click) for event in source.events())
    log = records(values)
    made = [sample for shard in closed_shards(log, Windows(), Rotation()) for sample in samples_of(shard.samples)]
    assert len(made) == clicks
    assert {sample.joined for sample in made} <= {"direct", "request"}
    assert all(not sample.hard_negatives for sample in made)
