"""What items are about: the inputs of the item tower that come of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contracts.arrays import Arrays, Floats, Integers, pack
from contracts.bases import CONTENT, OpenBase
from contracts.catalogue import Catalogue
from contracts.errors import Corrupt
from contracts.events import Context
from contracts.features import FeatureEncoder, FeatureSpec
from trainer.context_columns import ContextColumns, FeatureCounts
from trainer.settings import FullRetrain
from trainer.vocabulary import choose_features


@dataclass(frozen=True)
class Content:
    """Inputs of the item tower: `codes` int64 [n, F], `numbers` float32 [n, C]; of width 0 for one without features."""

    codes: Integers
    numbers: Floats

    def inputs(self, items: Integers | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return the inputs of some items, by position, as tensors."""
        return torch.from_numpy(self.codes[items]), torch.from_numpy(self.numbers[items])


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
