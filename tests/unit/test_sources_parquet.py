"""Parquet with named columns: the same options as csv and jsonl, and the same errors."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import Disorder, MissingInput, UsageError
from contracts.events import Click, Context
from streams.log import RawRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from streams.sources.source import Source
from tests.support.source_tree import ROOT

TIME = 1_500_000_000_000
NOON = dt.datetime(2017, 7, 14, 2, 40)
ROLES = "user=uid,item=article,time=ts"


def opened(path: Path, columns: str = ROLES, **more: Any) -> Source:
    return open_source(SourceOptions(data=path, columns=columns, **more))


def table(folder: Path, name: str = "log.parquet", **columns: Any) -> Path:
    path = folder / name
    pq.write_table(pa.table({"uid": [7], "article": ["a1"], "ts": [TIME]} | columns), path)
    return path


def test_rows_become_clicks_with_context_by_the_named_columns(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        uid=[7, 8],
        article=["a1", "a2"],
        ts=[TIME, TIME + 1],
        device=pa.array(["phone", None]).dictionary_encode(),
        dwell=[1.5, None],
        request=[0, None],
    )
    source = opened(path, ROLES + ",request=request", context_columns="kind=device", number_columns="dwell")
    assert list(source.events()) == [
        Click("7", "a1", TIME, TIME, "", "0", Context({"kind": "phone"}, {"dwell": 1.5})),
        Click("8", "a2", TIME + 1, TIME + 1, "", "", Context()),
    ]
    assert (source.name, source.total) == ("parquet-log", 2)


@pytest.mark.parametrize(
    "kind", [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC")]
)
def test_a_column_of_timestamps_says_itself_what_it_counts(tmp_path: Path, kind: pa.DataType) -> None:
    source = opened(table(tmp_path, ts=pa.array([NOON], pa.timestamp("us")).cast(kind)), time_unit="s")
    assert list(source.events()) == [Click("7", "a1", TIME, TIME)]


@pytest.mark.parametrize(("unit", "value"), [("s", TIME / 1000), ("us", TIME * 1000), ("iso", "2017-07-14T02:40:00Z")])
def test_numbers_and_text_are_read_in_the_unit_that_is_named(tmp_path: Path, unit: str, value: object) -> None:
    assert list(opened(table(tmp_path, ts=[value]), time_unit=unit).events()) == [Click("7", "a1", TIME, TIME)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"ts": [TIME, None, TIME]}, "time None is not a number of milliseconds"),
        ({"ts": [float(TIME), math.nan, float(TIME)]}, "time nan is not a number of milliseconds"),
        ({"ts": [float(TIME), 1e300, float(TIME)]}, "time 1e+300 is not a number of milliseconds"),
        ({"uid": [1, None, 1]}, "None is neither text nor a whole number"),
        ({"uid": pa.array([b"a", b"\xff", b"c"]).cast(pa.string(), safe=False)}, "neither text nor a whole number"),
        ({"dwell": [1.0, math.inf, 1.0]}, "inf is not a finite number"),
    ],
)
def test_a_bad_row_becomes_a_record_that_names_file_row_and_reason(
    tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    usual: dict[str, Any] = {"uid": [7, 7, 7], "article": ["a", "a", "a"], "ts": [TIME] * 3, "dwell": [1.0, 1.0, 1.0]}
    first, bad, last = opened(table(tmp_path, **(usual | wrong)), number_columns="dwell").events()
    assert isinstance(first, Click) and isinstance(last, Click)
    assert isinstance(bad, RawRecord) and "log.parquet: row 2: " in bad.value.decode() and reason in bad.value.decode()


@pytest.mark.parametrize(
    ("columns", "wrong", "sentence"),
    [
        ("user=user,item=article,time=ts", {}, "no column 'user': its columns are uid, article, ts"),
        (ROLES, {"uid": [[1, 2]]}, "'uid' holds list of whole"),
        (ROLES + ",ingest=came", {"came": [NOON]}, "ts and came are timestamps in one place"),
        (ROLES, {"uid": [1.5]}, r"row 1: 1\.5 is neither text nor a whole number"),
        (ROLES, {"ts": [12]}, "ts, read as ms, is no time between 1990 and 2099"),
    ],
)
def test_columns_that_cannot_be_what_they_are_named_are_refused_before_anything_is_read(
    tmp_path: Path, columns: str, wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        opened(table(tmp_path, **wrong), columns)
    assert refused.value.hint


@pytest.mark.parametrize("rubbish", [b"", b"PAR1", b"PAR1" + bytes(500) + b"PAR1", bytes(range(256)) * 20])
def test_rubbish_is_refused_with_a_hint(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "log.parquet"
    path.write_bytes(rubbish)
    with pytest.raises(MissingInput, match="cannot be read as parquet") as refused:
        opened(path, format="parquet")
    assert refused.value.hint and "\n" not in str(refused.value)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="holds no rows"):
        opened(
            table(
                tmp_path, uid=pa.array([], pa.int64()), article=pa.array([], pa.string()), ts=pa.array([], pa.int64())
            )
        )


def test_parquet_without_columns_asks_for_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be told") as refused:
        opened(table(tmp_path), "")
    assert "--columns user=" in refused.value.hint


def test_the_command_in_the_refusal_of_disorder_sorts_the_file(tmp_path: Path) -> None:
    times = [TIME + 2, TIME, TIME + 1]
    path = table(tmp_path, "my log.parquet", uid=[1, 2, 3], article=["a", "b", "c"], ts=times)
    with pytest.raises(Disorder) as refused:
        list(opened(path).records(2))
    command = refused.value.hint.partition(": ")[2].replace("python3", sys.executable, 1)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    events = opened(tmp_path / "sorted_my log.parquet").events()
    assert [event.item_id for event in events if isinstance(event, Click)] == ["b", "c", "a"]


def test_a_large_file_is_read_in_batches_whose_memory_does_not_grow_with_it(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    rows = 200_000
    ids = [f"item-{number:032d}" for number in range(rows)]
    pq.write_table(
        pa.table({"uid": ids, "article": ids, "ts": [TIME] * rows}), path, use_dictionary=False, compression="none"
    )
    before = pa.total_allocated_bytes()
    highest = max(pa.total_allocated_bytes() for event in opened(path).events())
    assert highest - before < path.stat().st_size / 2


def test_without_pyarrow_the_extra_that_brings_it_is_named(tmp_path: Path) -> None:
    path = table(tmp_path)
    words = ["--root", str(tmp_path), "--data", str(path), "--columns", ROLES]
    program = f"""
import sys
sys.modules["pyarrow"] = None
import freshet
sys.exit(freshet.main(["streams", "replay", *{words!r}]))
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "needs the package 'pyarrow'" in ended.stderr and "freshet[parquet]" in ended.stderr
