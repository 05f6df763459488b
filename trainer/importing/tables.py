"""Vectors by id as a file, of items or of users: safetensors, or parquet. Everything is checked before it is used.

    items   ids, vectors [n, width], biases [n] (may be left out)
    users   ids, vectors [n, width], common [width] (may be left out; not in parquet)

In safetensors all numbers are float32, and `ids` is text as Freshet stores it (`contracts/arrays.py`): `ids.text`,
uint8, and `ids.ends`, int64. In parquet the columns are `id`, `vector` (a list of floats) and `bias`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contracts.arrays import Arrays, Floats
from contracts.errors import Corrupt, MissingInput, TooLarge, UsageError
from trainer.importing import parquet

MOST_BYTES = 16 << 30
MOST_WIDTH = 1024
LONGEST_ID = 256
LARGEST = 1e6
HOW = "docs/import.md shows how the file is written."


@dataclass(frozen=True)
class Table:
    """`ids`: n distinct texts; `vectors`: float32 [n, width], finite; `biases`: float32 [n]; `common`: float32 [width].

    `what` names the file in messages. None: the file has no such column.
    """

    what: str
    ids: list[str]
    vectors: Floats
    biases: Floats | None = None
    common: Floats | None = None

    @property
    def width(self) -> int:
        """How long the vectors are."""
        return int(self.vectors.shape[1])


def read_items(path: Path, data: bytes) -> Table:
    """Return the items in a file's bytes. Raises `UsageError`, `TooLarge` naming the file and what is wrong in it."""
    found = _read(path, data, "biases")
    if not found.ids:
        raise UsageError(f"{path} holds no items", hint=HOW)
    return found


def read_users(path: Path, data: bytes) -> Table:
    """Return the users in a file's bytes. Raises as `read_items` does."""
    return _read(path, data, "common")


def content_of(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a file that was named on the command line. Raises `MissingInput`, `TooLarge`."""
    try:
        size = path.stat().st_size
        if size > most:
            raise TooLarge(f"{path} has {size:,} bytes, more than the {most:,} that are read at once", hint=HOW)
        return path.read_bytes()
    except OSError as error:
        raise MissingInput(f"{path} cannot be read: {error.strerror}", hint="Check the path.") from None


def require_direction(items: Table) -> None:
    """Refuse vectors that have no direction, which a cosine needs. Raises `UsageError`."""
    wrong = np.flatnonzero(np.linalg.norm(items.vectors, axis=1) < 1e-12)
    if len(wrong):
        raise UsageError(
            f"{items.what}: {_those(items, wrong, 'vectors')} of length zero, which have no cosine",
            hint="Leave such items out, or give --score dot.",
        )


def _read(path: Path, data: bytes, extra: str) -> Table:
    readers: dict[str, Callable[[Path, bytes, str], Table]] = {".safetensors": _safetensors, ".parquet": _parquet}
    if path.suffix not in readers:
        raise UsageError(f"{path} is neither .safetensors nor .parquet", hint=HOW)
    return _checked(readers[path.suffix](path, data, extra))


def _safetensors(path: Path, data: bytes, extra: str) -> Table:
    try:
        arrays = Arrays(data, str(path))
        if odd := sorted(arrays.names - {"ids.text", "ids.ends", "vectors", extra}):
            raise UsageError(f"{path} holds {', '.join(odd)}, which means nothing here", hint=HOW)
        found = Table(str(path), arrays.texts("ids"), arrays.floats("vectors", -1, -1))
        more = arrays.floats(extra, -1) if extra in arrays.names else None
    except Corrupt as error:
        raise UsageError(
            f"{path} does not fit: {error.where} is missing, damaged, or of another type or shape", hint=HOW
        ) from None
    return replace(found, biases=more) if extra == "biases" else replace(found, common=more)


def _parquet(path: Path, data: bytes, extra: str) -> Table:
    ids, vectors, biases = parquet.columns(path, data, "bias" if extra == "biases" else "", MOST_BYTES)
    return Table(str(path), ids, vectors, biases)


def _checked(table: Table) -> Table:
    what, count = table.what, len(table.ids)
    if len(table.vectors) != count or (table.biases is not None and len(table.biases) != count):
        raise UsageError(f"{what}: {count:,} ids, {len(table.vectors):,} vectors, and not as many biases", hint=HOW)
    if not 1 <= table.width <= MOST_WIDTH:
        raise UsageError(f"{what}: vectors of width {table.width}, where 1 to {MOST_WIDTH} can be", hint=HOW)
    if table.common is not None and len(table.common) != table.width:
        raise UsageError(f"{what}: a common row of width {len(table.common)} beside vectors of {table.width}", hint=HOW)
    _check_ids(table)
    _check_numbers(table)
    return table


def _check_ids(table: Table) -> None:
    wrong = [each for each in table.ids if not 1 <= len(each) <= LONGEST_ID]
    if wrong:
        raise UsageError(f"{table.what}: {wrong[0][:40]!r} is no id: those have 1 to {LONGEST_ID} characters")
    twice = next((each for each, count in Counter(table.ids).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"{table.what}: the id {twice!r} is there twice", hint="Give every id one vector.")


def _check_numbers(table: Table) -> None:
    parts = [("vectors", table.vectors)] + ([("biases", table.biases[:, None])] if table.biases is not None else [])
    for name, numbers in parts:
        wrong = np.flatnonzero(~(np.abs(numbers) < LARGEST).all(axis=1))
        if len(wrong):
            raise UsageError(f"{table.what}: {_those(table, wrong, name)} not finite, or of {LARGEST:g} and more")
    if table.common is not None and not (np.abs(table.common) < LARGEST).all():
        raise UsageError(f"{table.what}: the common row is not finite, or of {LARGEST:g} and more")


def _those(table: Table, at: np.ndarray[tuple[int], np.dtype[np.intp]], name: str) -> str:
    return f"{len(at):,} {name}, the first that of {table.ids[int(at[0])]!r}, are"
