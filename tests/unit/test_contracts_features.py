"""What a context becomes before a tower eats it."""

from __future__ import annotations

import numpy as np

from contracts.events import Context
from contracts.features import MAX_DEVIATIONS, ContinuousFeature, DiscreteFeature, FeatureEncoder, FeatureSpec

ENCODER = FeatureEncoder(FeatureSpec((DiscreteFeature("os", ("1", "2")),), (ContinuousFeature("age", 40.0, 0.5),)))


def test_known_values_get_their_codes_and_everything_else_zero() -> None:
    codes, _ = ENCODER.encode([Context({"os": "2"}), Context({"os": "9"}), Context()])
    assert codes.tolist() == [[2], [0], [0]]


def test_numbers_are_standardised_and_a_missing_one_counts_as_the_mean() -> None:
    _, numbers = ENCODER.encode([Context({}, {"age": 41.0}), Context()])
    assert numbers.tolist() == [[2.0], [0.0]]


def test_an_absurd_number_is_cut_off_and_stays_finite() -> None:
    _, numbers = ENCODER.encode([Context({}, {"age": 3.4e38}), Context({}, {"age": -3.4e38})])
    assert numbers.tolist() == [[MAX_DEVIATIONS], [-MAX_DEVIATIONS]]
    assert numbers.dtype == np.float32
