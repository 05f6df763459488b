"""Parquet logs of clicks, with the columns named by `Columns`. A column of timestamps says itself what its times count.

A row that is no click becomes a `RawRecord` with file, row and reason: a dead letter, not a hole. A file that lacks a
column, or none of whose first rows is a click, is refused before anything is read.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.errors import UsageError
from streams.sources.arrow import ParquetTable
from streams.sources.columns import PROBED, Columns, bad_row, check_clicks, click_reader
from streams.sources.source import Events

_PLAIN = ("text", "whole", "number", "flag")


def timed(paths: list[Path], columns: Columns) -> Columns:
    """Return the columns with the unit in which the files' times come. Raises `UsageError`, `MissingInput`."""
    times, tables = [name for name in (columns.time, columns.ingest) if name], [ParquetTable(path) for path in paths]
    for table in tables:
        for name in columns.needed():
            hint = "Name its columns with --columns user=COLUMN,item=COLUMN,time=COLUMN."
            table.need(name, ("time", *_PLAIN) if name in times else _PLAIN, hint)
    kinds = {table.kinds[name] == "time" for table in tables for name in times}
    if len(kinds) > 1:
        raise UsageError(
            f"{' and '.join(times)} are timestamps in one place and numbers or text in another",
            hint="Make them columns of one type.",
        )
    return replace(columns, time_unit="ms") if kinds == {True} else columns


def read_parquet(paths: list[Path], columns: Columns) -> Events:
    """Yield the clicks of the files, one file after the other; `columns` as `timed` gives them."""
    for path in paths:
        yield from _read_file(path, columns)


def check_parquet(paths: list[Path], columns: Columns) -> None:
    """Look at the first rows of every file. Raises `UsageError` or `MissingInput`."""
    for path in paths:
        check_clicks(path, list(islice(_read_file(path, columns), PROBED)), columns)


def rows_in(paths: list[Path]) -> int:
    """Return how many rows the files have."""
    return sum(ParquetTable(path).rows for path in paths)


def rows_of(table: ParquetTable, names: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of these columns row by row."""
    for columns in table.batches(names):
        yield from zip(*columns, strict=True)


def sort_hint(paths: list[Path], columns: Columns) -> str:
    """Return the sentence with the command that sorts such a log by the time it came in."""
    program = (
        "import sys, pyarrow.parquet as pq; _, log, key, out = sys.argv; "
        "pq.write_table(pq.read_table(log).sort_by(key), out)"
    )
    path, key = paths[0], columns.ordered_by
    words = ["python3", "-c", program, str(path), key, f"sorted_{path.name}"]
    several = "" if len(paths) == 1 else ", and likewise every other file, with names in the order of their times"
    return f"Sort it by {key}: {shlex.join(words)}{several}"


def _read_file(path: Path, columns: Columns) -> Events:
    names, to_click = list(dict.fromkeys(columns.needed())), click_reader(columns)
    for number, values in enumerate(rows_of(ParquetTable(path), names), start=1):
        try:
            yield to_click(dict(zip(names, values, strict=True)))
        except ValueError as error:
            yield bad_row(f"{path.name}: row {number}", str(error), repr(values))
