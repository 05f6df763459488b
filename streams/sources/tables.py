"""Csv (and tab or semicolon separated) logs of clicks, plain or gzipped, with the columns named by `Columns`.

A row that is no click becomes a `RawRecord` with file, line and reason: a dead letter, not a hole. A file whose header
lacks a column, or none of whose first rows is a click, is refused before anything is read.
"""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from contracts.errors import MissingInput, UsageError
from streams.sources.columns import PROBED, Columns, bad_row, check_clicks, row_reader
from streams.sources.files import lines
from streams.sources.source import Events

SEPARATORS = ",\t;"


def read_tables(paths: list[Path], columns: Columns) -> Events:
    """Yield the clicks of the files, one file after the other."""
    for path in paths:
        yield from _read_table(path, columns)


def check_tables(paths: list[Path], columns: Columns) -> None:
    """Look at the header and the first rows of every file. Raises `UsageError` or `MissingInput`."""
    for path in paths:
        _check_header(path, header_of(path), columns)
        check_clicks(path, list(islice(_read_table(path, columns), PROBED)), columns)


def _check_header(path: Path, header: list[str], columns: Columns) -> None:
    if missing := [name for name in columns.needed() if name not in header]:
        raise UsageError(
            f"{path} has no column {missing[0]!r}: its columns are {', '.join(header)}",
            hint="Name its columns with --columns user=COLUMN,item=COLUMN,time=COLUMN, or check --format.",
        )


def header_of(path: Path) -> list[str]:
    """Return the column names in the first line of a file. Raises `MissingInput` for an empty one."""
    first = next(_text_lines(path), "")
    if not first:
        raise MissingInput(f"{path} is empty", hint="A table starts with a line of column names.")
    return next(csv.reader([first], delimiter=_separator(first)), [])


def sort_hint(paths: list[Path], columns: Columns) -> str:
    """Return the sentence with the command that sorts a table by the time it came in."""
    path, header = paths[0], header_of(paths[0])
    place, separator = header.index(columns.ordered_by) + 1, shlex.quote(_separator(next(_text_lines(path))))
    key = f"-k{place},{place}" + ("" if columns.time_unit == "iso" else "g")
    cat, ordered = f"zcat -f {shlex.quote(str(path))}", shlex.quote(f"sorted_{path.name.removesuffix('.gz')}")
    command = f"({cat} | head -n 1; {cat} | tail -n +2 | LC_ALL=C sort -s -t{separator} {key}) > {ordered}"
    several = "" if len(paths) == 1 else " and likewise every other file, with names in the order of their times"
    return f"Sort it by {columns.ordered_by}: {command}{several}"


def _read_table(path: Path, columns: Columns) -> Events:
    text = _text_lines(path)
    first = next(text, "")
    separator = _separator(first)
    header = next(csv.reader([first], delimiter=separator), [])
    _check_header(path, header, columns)
    to_click = row_reader(columns, header)
    rows = csv.reader(text, delimiter=separator)
    while True:
        start = rows.line_num + 2
        try:
            row = next(rows)
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(f"{len(row)} fields under {len(header)} columns")
            yield to_click(row)
        except StopIteration:
            return
        except csv.Error as error:
            yield bad_row(_where(path, start, rows.line_num + 1), str(error), "")
        except ValueError as error:
            yield bad_row(_where(path, start, rows.line_num + 1), str(error), separator.join(row))


def _where(path: Path, first: int, last: int) -> str:
    return f"{path.name}:{first}" if last <= first else f"{path.name}:{first}-{last}"


def _text_lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(lines(path)):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")


def _separator(header: str) -> str:
    return max(SEPARATORS, key=header.count)
