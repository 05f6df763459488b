"""Logs of one JSON object a line, plain or gzipped: events as they stand, or clicks with their columns named.

A line that is no event travels on as it is, and the decoder rejects it: a dead letter, not a hole.
"""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path

import msgspec

from contracts.errors import EventRejected, MissingInput, UsageError
from contracts.events import MAX_VALUE_BYTES, Event, decode, encode
from streams.log import RawRecord, sort_command
from streams.sources.columns import PROBED, Columns, bad_row, check_clicks, click_reader
from streams.sources.files import lines
from streams.sources.source import Events

# Of a line that is too long to be read, so much travels on: a broker takes no longer records.
_KEPT_BYTES = 1 << 16


def read_events(paths: list[Path]) -> Events:
    """Yield the events of the files as `contracts.events.decode` reads them."""
    for path in paths:
        for number, line in enumerate(lines(path), start=1):
            if len(line) > MAX_VALUE_BYTES:
                yield bad_row(
                    f"{path.name}:{number}", "the line is too long", line[:_KEPT_BYTES].decode(errors="replace")
                )
                continue
            if not line.strip():
                continue
            try:
                yield decode(line)
            except EventRejected:
                yield RawRecord(line)


def read_rows(paths: list[Path], columns: Columns) -> Events:
    """Yield the clicks of files whose objects hold `columns`; ids may be text or whole numbers."""
    to_click = click_reader(columns)
    for path in paths:
        for number, line in enumerate(lines(path), start=1):
            if not line.strip():
                continue
            try:
                yield to_click(msgspec.json.decode(line, type=dict[str, object]))
            except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
                yield bad_row(f"{path.name}:{number}", str(error), line.decode(errors="replace"))


def check_lines(paths: list[Path], columns: Columns | None) -> None:
    """Look at the first lines of every file. Raises `UsageError` or `MissingInput`."""
    for path in paths:
        if columns is None:
            _check_events(path)
        else:
            check_clicks(path, list(islice(read_rows([path], columns), PROBED)), columns)


def sort_hint(paths: list[Path], columns: Columns | None) -> str:
    """Return the sentence with the command that sorts such a log by the time it came in."""
    key = "ingest_time" if columns is None else columns.ordered_by
    return f"Sort it by {key}: {sort_command(' '.join(shlex.quote(str(path)) for path in paths), key)}"


def _check_events(path: Path) -> None:
    first = list(islice(read_events([path]), PROBED))
    if not first:
        raise MissingInput(f"{path} holds no lines", hint="Check that it is the whole file.")
    if all(isinstance(event, RawRecord) for event in first):
        raise UsageError(
            f"{path} is not one event a line: its first line is refused as {_reason(first[0])}",
            hint="Say where user, item and time are with --columns user=KEY,item=KEY,time=KEY, or check --format.",
        )


def _reason(first: Event | RawRecord) -> str:
    try:
        decode(first.value if isinstance(first, RawRecord) else encode(first))
    except EventRejected as error:
        return str(error)
    return "nothing"
