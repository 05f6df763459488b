"""Which contexts of a batch are the same."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.arrays import Integers
from trainer.distinct_rows import distinct_rows

DICE = np.random.default_rng(1)
CODES = DICE.integers(4, size=(500, 3))
NUMBERS = DICE.integers(2, size=(500, 1)).astype(np.float32)


def test_every_row_is_found_again_and_each_kind_is_there_once() -> None:
    first, at = distinct_rows(CODES, NUMBERS)
    np.testing.assert_array_equal(CODES[first][at], CODES)
    np.testing.assert_array_equal(NUMBERS[first][at], NUMBERS)
    assert len(first) == len(np.unique(np.hstack([CODES, NUMBERS]), axis=0)) < 500


def test_rows_without_features_are_all_the_same() -> None:
    first, at = distinct_rows(np.zeros((5, 0), np.int64), np.zeros((5, 0), np.float32))
    assert (len(first), at.tolist()) == (1, [0] * 5)


def test_rows_that_are_taken_for_the_same_and_are_not_are_all_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ones:
        def integers(self, most: int, size: int, dtype: type) -> Integers:
            return np.ones(size, np.int64)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Ones())
    first, at = distinct_rows(CODES, NUMBERS)  # with these factors 1, 2 and 2, 1 have the same sum
    np.testing.assert_array_equal(CODES[first][at], CODES)
    assert len(first) == 500
