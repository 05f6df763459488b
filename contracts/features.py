"""How a context becomes the numbers that a tower eats; written into the base, used by trainer and serving alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from contracts.arrays import Floats, Integers
from contracts.events import Context

MAX_DEVIATIONS = 10.0


class DiscreteFeature(msgspec.Struct, frozen=True):
    """A discrete feature and its known values; the code of `values[i]` is i + 1, of anything else 0."""

    name: str
    values: tuple[str, ...]


class ContinuousFeature(msgspec.Struct, frozen=True):
    """A continuous feature, standardised by `mean` and `deviation` (> 0); a missing one counts as the mean."""

    name: str
    mean: float
    deviation: Annotated[float, Meta(gt=0)]


class FeatureSpec(msgspec.Struct, frozen=True):
    """The features that a tower was trained with, in the order of its inputs."""

    discrete: tuple[DiscreteFeature, ...] = ()
    continuous: tuple[ContinuousFeature, ...] = ()


class FeatureEncoder:
    """Encodes contexts by a spec; the same for training and for serving."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._codes = [
            (feature.name, {value: code for code, value in enumerate(feature.values, start=1)})
            for feature in spec.discrete
        ]

    def encode(self, contexts: Sequence[Context]) -> tuple[Integers, Floats]:
        """Return codes, int64 [n, discrete features], and standardised numbers, float32 [n, continuous features].

        Numbers are cut off at ±`MAX_DEVIATIONS`, so that one absurd value cannot drown a vector or a training step.
        A context that several share, as decoded samples do, is encoded once.
        """
        distinct = {id(context): context for context in contexts}
        places = {identity: place for place, identity in enumerate(distinct)}
        at = np.array([places[id(context)] for context in contexts], dtype=np.int64)
        codes, numbers = self._encoded(list(distinct.values()))
        return codes[at], numbers[at]

    def _encoded(self, contexts: list[Context]) -> tuple[Integers, Floats]:
        codes = [[known.get(c.discrete.get(name, ""), 0) for name, known in self._codes] for c in contexts]
        numbers = [
            [_standardised(c.continuous.get(feature.name, feature.mean), feature) for feature in self.spec.continuous]
            for c in contexts
        ]
        return (
            np.array(codes, dtype=np.int64).reshape(len(contexts), len(self._codes)),
            np.array(numbers, dtype=np.float32).reshape(len(contexts), len(self.spec.continuous)),
        )


def _standardised(number: float, feature: ContinuousFeature) -> float:
    return min(max((number - feature.mean) / feature.deviation, -MAX_DEVIATIONS), MAX_DEVIATIONS)
