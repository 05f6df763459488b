"""Parquet files by the batch, as Python values, with errors that a person can act on. The only door to pyarrow.

A file is read column chunk by column chunk through small buffers, and a batch is made smaller where rows are large, so
that memory does not grow with the file. Not defended against: a page that decompresses to more than there is memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import MissingInput, UsageError

LONGEST_LIST = 100_000

_BUFFER_BYTES = 1 << 20
_BATCH_BYTES, _BATCH_ROWS = 1 << 25, 8192
# How many of a type's units are a millisecond, or how many milliseconds a unit is.
_TO_MS: dict[str, Callable[[int], int]] = {
    "s": lambda value: value * 1000,
    "ms": lambda value: value,
    "us": lambda value: value // 1000,
    "ns": lambda value: value // 1_000_000,
    "day": lambda value: value * 86_400_000,
}


class TooLong(NamedTuple):
    """Stands for a list that is longer than `LONGEST_LIST`."""

    length: int


class ParquetTable:
    """An open parquet file. `kinds`: time, whole, number, text, flag, `list of ...`, or another type's own name.

    Times come as ms (int), also in lists; what is null comes as None; text that is no UTF-8 as bytes.
    """

    def __init__(self, path: Path) -> None:
        """Raises `MissingInput` where the file cannot be read as parquet, `UsageError` where names are not unique."""
        self.path = path
        with _named(path, "cannot be read as parquet"):
            self._file = pq.ParquetFile(
                path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            schema = self._file.schema_arrow
        self.kinds = {field.name: _kind(field.type) for field in schema}
        self.rows = int(self._file.metadata.num_rows)
        if len(self.kinds) != len(schema):
            raise UsageError(f"{path} has two columns of one name", hint="Give each column a name of its own.")

    def need(self, name: str, kinds: tuple[str, ...], hint: str) -> None:
        """Raise `UsageError` where there is no column of that name, or one of none of the kinds."""
        if name not in self.kinds:
            raise UsageError(f"{self.path} has no column {name!r}: its columns are {', '.join(self.kinds)}", hint=hint)
        if self.kinds[name] not in kinds:
            raise UsageError(
                f"{self.path}: column {name!r} holds {self.kinds[name]}, not {' or '.join(kinds)}", hint=hint
            )

    def batches(self, names: list[str]) -> Iterator[list[list[Any]]]:
        """Yield the columns of some rows at a time, as lists in the order of `names`.

        Raises `MissingInput`, with the row, where the file turns out to be damaged.
        """
        done = 0
        batches = self._file.iter_batches(self._batch_rows(), columns=names, use_threads=False)
        while True:
            with _named(self.path, f"is damaged after row {done}"):
                batch = next(batches, None)
                if batch is None:
                    return
                found = [_values(batch.column(batch.schema.get_field_index(name))) for name in names]
            yield found
            done += batch.num_rows

    def _batch_rows(self) -> int:
        # Not asked by the column: a damaged file's would end the process, and not as an exception.
        metadata = self._file.metadata
        size = sum(int(metadata.row_group(number).total_byte_size) for number in range(metadata.num_row_groups))
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES * max(self.rows, 1) // max(size, 1)))


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MissingInput(f"{path} {what}: {reason}", hint="Fetch the file again, whole.") from None


def _kind(kind: Any) -> str:
    types = pa.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if _is_list(kind):
        return f"list of {_kind(kind.value_type)}"
    named = {
        "time": types.is_timestamp(kind) or types.is_date(kind),
        "whole": types.is_integer(kind),
        "number": types.is_floating(kind),
        "text": types.is_string(kind) or types.is_large_string(kind),
        "flag": types.is_boolean(kind),
    }
    return next((name for name, fits in named.items() if fits), str(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _values(column: Any) -> list[Any]:
    """Return a column's values as Python has them."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_list(column.type):
        return _lists(column)
    if _kind(column.type) == "time":
        number, to_ms = _time(column.type)
        return [None if value is None else to_ms(value) for value in column.cast(number).to_pylist()]
    if _kind(column.type) == "text":
        return _texts(column)
    return list(column.to_pylist())


def _lists(column: Any) -> list[Any]:
    lengths = pc.list_value_length(column)
    if (pc.max(lengths).as_py() or 0) > LONGEST_LIST:
        return [
            TooLong(length) if length and length > LONGEST_LIST else _lists(column[row : row + 1])[0]
            for row, length in enumerate(lengths.to_pylist())
        ]
    values, found, at = _values(column.flatten()), [], 0
    for length in lengths.to_pylist():
        found.append(None if length is None else values[at : at + length])
        at += length or 0
    return found


def _texts(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        values = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()).to_pylist()
        return [None if value is None else _text(value) for value in values]


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _time(kind: Any) -> tuple[Any, Callable[[int], int]]:
    """Return the type of numbers that a column of times is made of, and how one becomes ms: no date overflows."""
    if pa.types.is_date32(kind):
        return pa.int32(), _TO_MS["day"]
    return pa.int64(), _TO_MS["ms" if pa.types.is_date64(kind) else kind.unit]
