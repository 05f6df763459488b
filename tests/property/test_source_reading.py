"""What makes reading a log quick changes nothing of what is read."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import MissingInput
from contracts.events import Click
from streams.sources import files
from streams.sources.columns import Columns, click_reader, row_reader
from streams.sources.files import lines

Row = TypeVar("Row")
HEADER = ["uid", "article", "ts", "in", "event", "os", "age", "os"]  # of two columns of one name the last one counts
FIELDS = st.text(st.sampled_from("aé7.-\udc80"), max_size=3) | st.sampled_from(
    ["", "1.5", "nan", "1507000000000", "12"]
)
COLUMNS = st.builds(
    Columns,
    user=st.just("uid"),
    item=st.just("article"),
    time=st.just("ts"),
    ingest=st.sampled_from(["", "in"]),
    request=st.sampled_from(["", "event"]),
    event_id=st.sampled_from(["", "event"]),
    discrete=st.sampled_from([(), (("os", "os"),), (("os", "os"), ("who", "uid"))]),
    continuous=st.sampled_from([(), (("age", "age"),)]),
    time_unit=st.sampled_from(["ms", "s"]),
)


@given(COLUMNS, st.lists(st.lists(FIELDS, min_size=len(HEADER), max_size=len(HEADER)), max_size=8))
def test_a_row_read_by_position_is_the_click_of_its_named_columns(columns: Columns, rows: list[list[str]]) -> None:
    by_place, by_name = row_reader(columns, HEADER), click_reader(columns)
    for row in [*rows, *rows]:  # the second time from what the reader remembers
        assert _read(by_place, row) == _read(by_name, dict(zip(HEADER, row, strict=True)))


def _read(reader: Callable[[Row], Click], row: Row) -> Click | str:
    try:
        return reader(row)
    except ValueError as error:
        return str(error)


@given(text=st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"x" * 9]), max_size=60).map(b"".join))
@pytest.mark.parametrize("zipped", [False, True])
def test_lines_read_by_the_block_are_those_read_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, zipped: bool, text: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(gzip.compress(text, 1) if zipped else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "LINE_BYTES", 12)
        patch.setattr(files, "_BLOCK_BYTES", 5)
        assert list(lines(path)) == _one_by_one(text, 12)


def _one_by_one(text: bytes, longest: int) -> list[bytes]:
    return [line.removesuffix(b"\n")[:longest].rstrip(b"\r") for line in io.BytesIO(text)]


def test_lines_before_a_tear_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2])
    read: list[bytes] = []
    with pytest.raises(MissingInput, match="torn after line") as torn:
        read.extend(lines(path))
    assert f"after line {len(read)} " in str(torn.value)
    assert read == [b"%d" % number for number in range(len(read))]
    assert len(read) > 10_000
