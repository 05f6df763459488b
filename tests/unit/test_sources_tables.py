"""Csv logs: what is read, what becomes a dead letter, and what is refused at once."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from contracts.errors import Disorder, EventRejected, MissingInput, UsageError
from contracts.events import Click, Context, decode
from streams.log import RawRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from streams.sources.source import Source

TIME = 1_500_000_000_000
HEADER = "uid,article,ts,device,dwell,request\n"
ROLES = "user=uid,item=article,time=ts"


def opened(path: Path, columns: str = ROLES, **more: str) -> Source:
    return open_source(SourceOptions(data=path, columns=columns, **more))  # type: ignore[arg-type]


def table(folder: Path, rows: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(HEADER + rows)
    return path


def test_rows_become_clicks_with_context_by_the_named_columns(tmp_path: Path) -> None:
    path = table(tmp_path, f"7,a1,{TIME},phone,1.5,r1\n8,a2,{TIME + 1},,,\n")
    source = opened(
        path, ROLES + ",request=request,event_id=request", context_columns="kind=device", number_columns="dwell"
    )
    assert list(source.events()) == [
        Click("7", "a1", TIME, TIME, "r1", "r1", Context({"kind": "phone"}, {"dwell": 1.5})),
        Click("8", "a2", TIME + 1, TIME + 1, "", "", Context()),
    ]


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("ms", "1500000000123"),
        ("s", "1500000000.123"),
        ("us", "1500000000123999"),
        ("iso", "2017-07-14T02:40:00.123+00:00"),
        ("iso", "2017-07-14T02:40:00.123Z"),
        ("iso", "2017-07-14 02:40:00.123"),
    ],
)
def test_times_are_read_in_each_unit(tmp_path: Path, unit: str, text: str) -> None:
    source = opened(table(tmp_path, f"7,a1,{text},,,\n"), time_unit=unit)
    assert [event.ingest_time for event in source.events() if isinstance(event, Click)] == [1_500_000_000_123]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("7,a1", "2 fields under 6 columns"),
        ("7,a1,noon,,,", "time 'noon'"),
        ("7,a1,nan,,,", "time 'nan'"),
        ("7,a1,1e400,,,", "time '1e400'"),
        ("7,a1,9" + "9" * 30 + ",,,", "time '99"),
        ("7,a1,1500000000000,,infinity,", "'infinity' is not a finite number"),
        ("7," + "x" * 140_000 + ",1500000000000,,,", "field larger than field limit"),
    ],
)
def test_a_bad_row_becomes_a_record_that_names_file_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    good = f"7,a1,{TIME},,,\n"
    source = opened(table(tmp_path, good + row + "\n" + good), number_columns="dwell")
    first, bad, last = source.events()
    assert isinstance(first, Click) and first == last
    assert isinstance(bad, RawRecord) and f"log.csv:3: {reason}" in bad.value.decode()
    with pytest.raises(EventRejected, match="not_json"):
        decode(bad.value)


def test_a_row_of_bytes_that_are_no_utf8_is_a_bad_row(tmp_path: Path) -> None:
    path = table(tmp_path, f"7,a1,{TIME},,,\n")
    path.write_bytes(path.read_bytes() + f"8\xff,a1,{TIME},,,\n".encode("latin-1"))
    assert [type(event) for event in opened(path).events()] == [Click, RawRecord]


def test_a_quote_that_is_never_closed_names_the_lines_that_it_swallowed(tmp_path: Path) -> None:
    rows = f'7,a1,{TIME},,,\n7,"a2,{TIME},,,\n' + f"7,a3,{TIME},,,\n" * 3
    events = list(opened(table(tmp_path, rows)).events())
    assert [type(event) for event in events] == [Click, RawRecord]
    assert isinstance(events[1], RawRecord) and b"log.csv:3-6" in events[1].value


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column 'user'.*uid, article"):
        opened(table(tmp_path, f"7,a1,{TIME},,,\n"), "user=user,item=article,time=ts")


def test_a_file_without_one_good_row_is_refused_with_its_first_bad_row(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"log\.csv:2: time 'monday'"):
        opened(table(tmp_path, "7,a1,monday,,,\n8,a1,tuesday,,,\n"))


def test_times_read_in_the_wrong_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ts, read as s,") as refused:
        opened(table(tmp_path, f"7,a1,{TIME},,,\n"), time_unit="s")
    assert "--time-unit" in refused.value.hint


@pytest.mark.parametrize(("text", "sentence"), [("", "is empty"), (HEADER, "holds no rows")])
def test_an_empty_file_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(MissingInput, match=sentence):
        opened(path)


def test_tabs_and_semicolons_separate_as_well(tmp_path: Path) -> None:
    for separator in "\t;":
        path = tmp_path / "log.tsv"
        path.write_text((HEADER + f"7,a1,{TIME},,,\n").replace(",", separator))
        assert list(opened(path).events()) == [Click("7", "a1", TIME, TIME)]


def test_a_torn_gzip_file_is_named_with_the_line_where_it_ends(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "".join(f"{n},a1,{TIME + n},,,\n" for n in range(20_000))).encode())
    path = tmp_path / "log.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    source = opened(path)
    with pytest.raises(MissingInput, match=r"log\.csv\.gz is torn after line \d{3,}") as refused:
        list(source.events())
    assert "gzip -t" in refused.value.hint


def test_a_flipped_byte_in_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((HEADER + f"7,a1,{TIME},,,\n" * 50).encode()))
    whole[-6] ^= 1  # in the checksum
    path = tmp_path / "log.csv.gz"
    path.write_bytes(whole)
    with pytest.raises(MissingInput, match="torn"):
        list(opened(path).events())


def test_the_command_in_the_refusal_of_disorder_sorts_the_file(tmp_path: Path) -> None:
    path = table(tmp_path, f"7,a1,{TIME + 2},,,\n7,a2,{TIME},,,\n7,a3,{TIME + 1},,,\n", "my log.csv")
    with pytest.raises(Disorder) as refused:
        list(opened(path).records(2))
    command = refused.value.hint.partition(": ")[2]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    events = opened(tmp_path / "sorted_my log.csv").events()
    assert [event.item_id for event in events if isinstance(event, Click)] == ["a2", "a3", "a1"]


@pytest.mark.parametrize(
    "columns", ["user=uid,item=article", "user=uid,item=article,time=ts,colour=red", "user,item", "user=,item=a,time=t"]
)
def test_a_wrong_list_of_columns_is_refused_with_an_example(tmp_path: Path, columns: str) -> None:
    with pytest.raises(UsageError) as refused:
        opened(table(tmp_path, f"7,a1,{TIME},,,\n"), columns)
    assert "user=" in refused.value.hint


def test_a_column_whose_name_cannot_name_a_feature_needs_a_name(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"uid,article,ts,my device\n7,a1,{TIME},tv\n")
    with pytest.raises(UsageError, match="'my device' cannot name a feature"):
        opened(path, context_columns="my device")
    [click] = opened(path, context_columns="device=my device").events()
    assert isinstance(click, Click) and click.context.discrete == {"device": "tv"}
