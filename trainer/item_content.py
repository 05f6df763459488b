"""What items are about: a catalogue of item events, and the inputs of the item tower that come of it."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from contracts.arrays import Arrays, Floats, Integers, pack
from contracts.bases import OpenBase
from contracts.errors import Corrupt, EventRejected, MissingInput, UsageError
from contracts.events import MAX_VALUE_BYTES, Context, Item, decode
from contracts.features import FeatureEncoder, FeatureSpec
from contracts.zipped import opened
from trainer.context_columns import ContextColumns, FeatureCounts
from trainer.settings import FullRetrain
from trainer.vocabulary import choose_features

CONTENT = "content.safetensors"


@dataclass(frozen=True)
class Catalogue:
    """The content of items by id, as their newest events have it; `digest`: of the file."""

    contents: dict[str, Context]
    digest: str


@dataclass(frozen=True)
class Content:
    """Inputs of the item tower: `codes` int64 [n, F], `numbers` float32 [n, C]; of width 0 for one without features."""

    codes: Integers
    numbers: Floats

    def inputs(self, items: Integers | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return the inputs of some items, by position, as tensors."""
        return torch.from_numpy(self.codes[items]), torch.from_numpy(self.numbers[items])


def read_catalogue(path: Path) -> Catalogue:
    """Read a file of events as JSON lines, maybe gzipped; of several of one item the last one counts.

    Other events are passed over, so a whole log may be given. Raises `MissingInput`, `Corrupt`, and `UsageError` for a
    line that is no event, naming it.
    """
    contents, hashed = dict[str, Context](), hashlib.sha256()
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
            contents[event.item_id] = event.content
    if not contents:
        raise UsageError(f"{path} holds no items", hint='It needs lines like {"kind": "item", "item_id": ...}.')
    return Catalogue(contents, hashed.hexdigest())


def choose_content(catalogue: Catalogue | None, settings: FullRetrain) -> FeatureSpec:
    """Return the features of items that are worth an input."""
    if catalogue is None:
        return FeatureSpec()
    columns, counts = ContextColumns(), FeatureCounts()
    counts.add(columns, *columns.of(list(catalogue.contents.values())))
    return choose_features(columns, counts, settings)


def content_of(items: list[str], spec: FeatureSpec, catalogue: Catalogue | None, parent: OpenBase | None) -> Content:
    """Return the inputs of `items`, which begin with the parent's: those keep theirs where the catalogue has none."""
    contents = catalogue.contents if catalogue else {}
    found = Content(*FeatureEncoder(spec).encode([contents.get(item, Context()) for item in items]))
    if parent:
        before = of_base(parent)
        kept = [at for at in range(len(before.codes)) if items[at] not in contents]
        found.codes[kept], found.numbers[kept] = before.codes[kept], before.numbers[kept]
    return found


def of_base(base: OpenBase) -> Content:
    """Return the inputs of a base's items. Raises `Corrupt`."""
    spec, count = base.manifest.towers.content, len(base.items.ids)
    if spec == FeatureSpec():
        return Content(np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32))
    arrays = Arrays(base.file(CONTENT), CONTENT)
    codes = arrays.integers("codes", count, len(spec.discrete))
    sizes = np.array([len(feature.values) for feature in spec.discrete])
    if (codes < 0).any() or (codes > sizes).any():
        raise Corrupt(CONTENT, "its codes")
    return Content(codes, arrays.floats("numbers", count, len(spec.continuous)))


def packed(content: Content) -> bytes:
    """Return the file that `of_base` reads."""
    return pack({"codes": content.codes, "numbers": content.numbers})


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
