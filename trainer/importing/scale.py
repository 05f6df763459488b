"""Foreign vectors brought to the lengths for which the steps of the online update are meant.

A step on a row moves a score by about step / (length of the user vector * temperature)^2 with a cosine, and by step *
(length of item vectors)^2 with a dot product. Models differ in these by powers of ten. So, with a cosine, user vectors
get the length 1 in the mean, which changes no score. With a dot product the longest item vector gets the length 10,
and user vectors the inverse of that, so that no step goes further than with a cosine over 0.1; the temperature divides
those, too. (The longest, for the lengths of factors differ by a hundred times, and it is the longest that overshoot.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contracts.arrays import Doubles, Floats

USERS, LONGEST_ITEM = 1.0, 10.0
SLACK = 4.0


@dataclass(frozen=True)
class Scale:
    """What vectors are multiplied by: `users`, `items`; and `biases`, as they are part of the score."""

    users: float
    items: float
    biases: float


def scale_of(score: Literal["cosine", "dot"], temperature: float, items: Floats, users: Floats) -> Scale:
    """Return the scale of a model; `items`, `users`: its vectors, float32 [n, width], or some of them."""
    if score == "cosine":
        return Scale(USERS / (float(np.sqrt(np.mean(_squares(users)))) or 1.0), 1.0, 1.0)
    times = LONGEST_ITEM / (_longest(items) or 1.0)
    return Scale(1 / (times * temperature), times, 1 / temperature)


def norm_cap(given: float, own: Floats, most: float = 1.0) -> float:
    """Return a cap of own rows that none of the model's reaches, though they were `most` times as long."""
    return max(given, SLACK * most * _longest(own))


def _longest(vectors: Floats) -> float:
    return float(np.sqrt(np.max(_squares(vectors), initial=0.0)))


def _squares(vectors: Floats) -> Doubles:
    return np.asarray(np.sum(vectors.astype(np.float64) ** 2, axis=1))
