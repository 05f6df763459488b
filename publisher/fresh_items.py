"""Items that the base does not know and the catalogue does: their vectors, by the base's frozen item tower.

An item that was never trained has no id embedding. It gets the mean of those of the base's items whose discrete content
is the same, else of all of them: where it would stand if nothing but its content were known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from contracts.arrays import Arrays, Floats, Integers
from contracts.bases import CONTENT, ITEM_TOWER, OpenBase
from contracts.catalogue import Catalogue, FreshItems, read_catalogue
from contracts.errors import Corrupt
from contracts.features import FeatureEncoder, FeatureSpec

OUTPUT = "item_vector"
BATCH = 4096


def fresh_items(base: OpenBase, catalogue: Catalogue) -> FreshItems:
    """Return the catalogue's items that a base has no vector for, with vectors, and when each may be shown.

    A base without content features gives none a vector. Raises `Corrupt` naming a file of the base.
    """
    items = catalogue.items
    known, spec = set(base.items.ids), base.manifest.towers.content
    new = sorted(items.keys() - known) if spec != FeatureSpec() else []
    vectors = _vectors(base, spec, new, catalogue) if new else np.zeros((0, base.manifest.towers.width), np.float32)
    since = {item_id: item.available_from for item_id, item in items.items() if item.available_from}
    until = {item_id: item.available_until for item_id, item in items.items() if item.available_until}
    return FreshItems(new, vectors, since, until)


def _vectors(base: OpenBase, spec: FeatureSpec, new: list[str], catalogue: Catalogue) -> Floats:
    codes, numbers = FeatureEncoder(spec).encode([catalogue.items[item].content for item in new])
    session = _session(base)
    names = {given.name for given in session.get_inputs()}
    foreign = "id_embedding" not in names  # an imported tower looks at the content alone
    embeddings = base.items.embeddings[:0] if foreign else _expected(base, spec, codes)
    parts = []
    for first in range(0, len(new), BATCH):
        span = slice(first, first + BATCH)
        fed = {"id_embedding": embeddings[span], "codes": codes[span], "numbers": numbers[span]}
        parts.append(session.run([OUTPUT], {name: fed[name] for name in names & fed.keys()})[0])
    vectors = np.concatenate(parts).astype(np.float32)
    if vectors.shape != (len(new), base.manifest.towers.width) or not np.isfinite(vectors).all():
        raise Corrupt(f"the item tower of base {base.manifest.base_id}", f"its output of shape {vectors.shape}")
    return vectors


def _expected(base: OpenBase, spec: FeatureSpec, codes: Integers) -> Floats:
    """Return an id embedding for each row of codes, float32 [n, width]."""
    embeddings = base.items.embeddings
    overall = embeddings.mean(axis=0)
    arrays = Arrays(base.file(CONTENT), CONTENT)
    known = arrays.integers("codes", len(embeddings), len(spec.discrete))
    means: dict[bytes, Floats] = {}
    for each in codes:
        if each.tobytes() not in means:
            alike = embeddings[(known == each).all(axis=1)] if len(spec.discrete) else embeddings
            means[each.tobytes()] = alike.mean(axis=0) if len(alike) else overall
    return np.stack([means[each.tobytes()] for each in codes]).astype(np.float32)


def _session(base: OpenBase) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(base.file(ITEM_TOWER), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
        what = f"the item tower of base {base.manifest.base_id}"
        raise Corrupt(what, f"its graph ({str(error).splitlines()[0]})") from None


@dataclass
class CatalogueFile:
    """A catalogue that is read again only when its file has changed; with no path, there is none."""

    path: Path | None
    _seen: tuple[int, int] | None = field(default=None, init=False)
    _read: Catalogue | None = field(default=None, init=False)

    def now(self) -> Catalogue | None:
        """Return it as it is now. Raises as `read_catalogue` does."""
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return read_catalogue(self.path)  # which says what is wrong
        if self._seen != (found.st_mtime_ns, found.st_size):
            self._read, self._seen = read_catalogue(self.path), (found.st_mtime_ns, found.st_size)
        return self._read
