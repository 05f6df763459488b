"""Vectors by id in a parquet file, by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from contracts.arrays import Floats
from contracts.errors import TooLarge, UsageError

HINT = "It needs the columns `id` (text) and `vector` (a list of floats); items may have `bias` (a float)."


def columns(path: Path, data: bytes, bias: str, most: int) -> tuple[list[str], Floats, Floats | None]:
    """Return ids, vectors float32 [n, width] and biases float32 [n] (None without a column `bias`).

    `most`: bytes that it may decompress to. Raises `UsageError`, `TooLarge`.
    """
    import pyarrow as pa  # seldom needed, and large
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        groups = (file.metadata.row_group(at) for at in range(file.metadata.num_row_groups))
        if (size := sum(group.total_byte_size for group in groups)) > most:
            raise TooLarge(f"{path} holds {size:,} bytes, more than the {most:,} that are read at once", hint=HINT)
        names = _names(path, file.schema_arrow.names, bias)
        table = file.read()
        table.validate(full=True)  # text that is none, lists that overlap
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path} is no parquet file: {str(error).splitlines()[0]}", hint=HINT) from None
    for name in names:
        if table.column(name).null_count:
            raise UsageError(f"{path}: the column {name} has rows without a value", hint=HINT)
    biases = _floats(path, table.column(bias), bias) if bias in names else None
    return _texts(path, table.column("id")), _vectors(path, table.column("vector")), biases


def _names(path: Path, found: list[str], bias: str) -> set[str]:
    """Return the columns' names, which are those wanted, each once."""
    wanted, names = {"id", "vector"}, set(found)
    if not wanted <= names or names - wanted - {bias}:
        raise UsageError(f"{path} has the columns {', '.join(sorted(names))}", hint=HINT)
    if len(names) < len(found):
        raise UsageError(f"{path} has two columns of one name: {', '.join(sorted(found))}", hint=HINT)
    return names


def _texts(path: Path, column: Any) -> list[str]:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if not (types.is_string(kind) or types.is_large_string(kind)):
        raise UsageError(f"{path}: ids of type {column.type} are not text", hint=HINT)
    return list(column.to_pylist())


def _vectors(path: Path, column: Any) -> Floats:
    from pyarrow import compute, types

    kind = column.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise UsageError(f"{path}: vectors of type {kind} are no lists", hint=HINT)
    widths = np.unique(compute.list_value_length(column).to_numpy())
    if len(widths) > 1:
        raise UsageError(f"{path}: vectors of different widths, {widths[0]} to {widths[-1]}", hint=HINT)
    flat = compute.list_flatten(column)
    if flat.null_count:
        raise UsageError(f"{path}: vectors with numbers missing", hint=HINT)
    return _floats(path, flat, "vector").reshape(len(column), int(widths[0]) if len(widths) else 1)


def _floats(path: Path, column: Any, name: str) -> Floats:
    from pyarrow import types

    if not types.is_floating(column.type):
        raise UsageError(f"{path}: {name} of type {column.type} is no float", hint=HINT)
    with np.errstate(over="ignore"):
        return np.asarray(column.to_numpy(), dtype=np.float32)
