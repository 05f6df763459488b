"""The catalogue: item events as a file, and what of it a served version carries along."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contracts.arrays import Arrays, Floats, pack
from contracts.errors import Corrupt, EventRejected, MissingInput, UsageError
from contracts.events import MAX_VALUE_BYTES, Context, Item, decode
from contracts.zipped import opened

FRESH = "items.safetensors"


@dataclass(frozen=True)
class Catalogue:
    """The newest event of each item; `digest`: of the file."""

    items: dict[str, Item]
    digest: str

    @property
    def contents(self) -> dict[str, Context]:
        """What each item is about."""
        return {item_id: item.content for item_id, item in self.items.items()}


@dataclass(frozen=True)
class FreshItems:
    """What a version knows of items beyond its base: those that came since, and until when items may be shown.

    `vectors`: float32 [n, width], of the base's frozen item tower. `since`, `until`: ms by item, of the base too.
    """

    ids: list[str]
    vectors: Floats
    since: Mapping[str, int] = field(default_factory=dict)
    until: Mapping[str, int] = field(default_factory=dict)

    def hidden(self, now: int) -> set[str]:
        """Return the items that may not be shown at `now` (ms): not yet, or no more."""
        return {i for i, at in self.since.items() if now < at} | {i for i, at in self.until.items() if now >= at}


def read_catalogue(path: Path) -> Catalogue:
    """Read a file of events as JSON lines, maybe gzipped; of several of one item the last one counts.

    Other events are passed over, so a whole log may be given. Raises `MissingInput`, `Corrupt`, and `UsageError` for a
    line that is no event, naming it.
    """
    items, hashed = dict[str, Item](), hashlib.sha256()
    for number, line in enumerate(_lines(path), start=1):
        hashed.update(line)
        if not line.strip():
            continue
        try:
            event = decode(line)
        except EventRejected as rejection:
            raise UsageError(
                f"{path}, line {number} is no event: {rejection.reason}",
                hint="A catalogue holds an item event a line, as docs/formats.md describes it.",
            ) from None
        if isinstance(event, Item):
            items[event.item_id] = event
    if not items:
        raise UsageError(f"{path} holds no items", hint='It needs lines like {"kind": "item", "item_id": ...}.')
    return Catalogue(items, hashed.hexdigest())


def pack_fresh(fresh: FreshItems) -> bytes:
    """Return the file that a served manifest names; the same items give the same bytes."""
    bounded = sorted(fresh.since.keys() | fresh.until.keys())
    return pack(
        {
            "ids": fresh.ids,
            "vectors": fresh.vectors,
            "bounded": bounded,
            "since": np.array([fresh.since.get(item, 0) for item in bounded], dtype=np.int64),
            "until": np.array([fresh.until.get(item, 0) for item in bounded], dtype=np.int64),
        }
    )


def unpack_fresh(data: bytes, width: int, what: str) -> FreshItems:
    """Return the items of `pack_fresh`. Raises `Corrupt`."""
    arrays = Arrays(data, what)
    ids, bounded = arrays.texts("ids"), arrays.texts("bounded")
    since, until = (arrays.integers(name, len(bounded)).tolist() for name in ("since", "until"))
    vectors = arrays.floats("vectors", len(ids), width)
    if len(set(ids)) != len(ids) or not np.isfinite(vectors).all():
        raise Corrupt(what, "its items")
    bounds = [{item: at for item, at in zip(bounded, times, strict=True) if at} for times in (since, until)]
    return FreshItems(ids, vectors, *bounds)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with opened(path) as file:
            while line := file.readline(MAX_VALUE_BYTES + 2):
                yield line
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise Corrupt(str(path), str(error)) from None
        raise MissingInput(f"{path} cannot be read: {error.strerror}", hint="Check the path of --items.") from None
    except (EOFError, zlib.error) as error:
        raise Corrupt(str(path), str(error)) from None
