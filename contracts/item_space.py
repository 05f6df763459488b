"""The space where users and items meet, and an index searches by inner product: publisher writes it, serving asks.

score without trend = user . item + bias_weight * bias. The bias rides as one more dimension, stored in the scale of the
vectors: beside the unit vectors of a cosine, raw biases of a few units would decide which items an index takes for
neighbours, although a query, of length 1 / temperature, hardly weighs them (recall@100 of HNSW on 100,000 random
directions in 64 dimensions, biases of deviation 1, weight 0.5: 0.17 raw, 0.63 in scale).
"""

from __future__ import annotations

import numpy as np

from contracts.arrays import Floats
from contracts.bases import Items, Towers


def item_vectors(items: Items, towers: Towers, bias_weight: float) -> Floats:
    """Return float32 [items, width + 1]: the item vectors, and the weighted biases in their scale."""
    biases = items.biases * np.float32(bias_weight * _scale(towers))
    return np.ascontiguousarray(np.hstack([items.vectors, biases[:, np.newaxis]]))


def queries(user_vectors: Floats, towers: Towers) -> Floats:
    """Return float32 [n, width + 1] for user vectors, float32 [n, width]: what is searched for."""
    ones = np.full((len(user_vectors), 1), 1 / _scale(towers), dtype=np.float32)
    return np.hstack([user_vectors, ones])


def _scale(towers: Towers) -> float:
    """A cosine tower's user vector has the length 1 / temperature; a dot product's has none that is known."""
    return towers.temperature if towers.score == "cosine" else 1.0
