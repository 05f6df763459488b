"""From a scan's codes to a base's inputs: what comes of a sample is what serving would make of its context."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.events import Context
from contracts.features import FeatureEncoder
from trainer.context_columns import ContextColumns, FeatureCounts, Moments
from trainer.day_scan import Scan
from trainer.settings import FullRetrain
from trainer.training_days import DaySamples
from trainer.translation import Translation
from trainer.vocabulary import choose_features

SETTINGS = FullRetrain(min_feature_count=2, max_feature_values=3)


def contexts(count: int) -> list[Context]:
    """Of several kinds, some shared; names and values turn up late, are rare, empty or missing."""
    dice = np.random.default_rng(1)
    found: list[Context] = []
    for at in range(count):
        discrete = {"device": f"d{dice.integers(4)}"} if at % 7 else {"device": ""}
        if at > count // 2:
            discrete["region"] = f"r{dice.integers(3)}"
        hour = {"hour": float(np.float32(dice.normal()))} if at % 5 else {}
        spike = {"load": 1e6 if at == 3 else float(at % 3)} if at % 2 else {}
        found.append(found[-1] if at % 11 == 10 else Context(discrete, {**hour, **spike}))
    return found


def chunk(found: list[Context], first: int) -> DaySamples:
    numbers = range(first, first + len(found))
    users, items = [f"u{n % 9}" for n in numbers], [f"i{n % 5}" for n in numbers]
    rejected: list[tuple[str, ...]] = [
        (f"i{(n + 1) % 5}", "unknown", f"i{(n + 2) % 5}") if n % 3 else () for n in numbers
    ]
    return DaySamples("d", users, items, found, np.zeros(len(found), np.int64), rejected)


@pytest.mark.parametrize("size", [13, 200])
def test_inputs_are_those_of_the_feature_encoder_that_serving_has(size: int) -> None:
    found, scan = contexts(200), Scan(None, (1_800_000, 0), 2)
    coded = [scan.add(chunk(found[at : at + size], at)) for at in range(0, 200, size)]
    spec = choose_features(scan.contexts, scan.features, SETTINGS)
    assert [feature.name for feature in spec.discrete] == ["device", "region"]
    assert [feature.name for feature in spec.continuous] == ["hour", "load"]
    translation = Translation(scan, ["i3", "i1", "i0"], spec)
    rows = [translation.rows(part) for part in coded]
    kept = [at for at in range(200) if at % 5 in {0, 1, 3}]
    codes, numbers = FeatureEncoder(spec).encode([found[at] for at in kept])
    np.testing.assert_array_equal(np.concatenate([part.codes for part in rows]), codes)
    np.testing.assert_array_equal(np.concatenate([part.numbers for part in rows]), numbers)
    position = {3: 0, 1: 1, 0: 2}
    assert np.concatenate([part.items for part in rows]).tolist() == [position[at % 5] for at in kept]
    assert np.concatenate([part.users for part in rows]).tolist() == [at % 9 for at in kept]
    wanted = [[position.get((at + 1) % 5, -1), -1] if at % 3 else [-1, -1] for at in kept]
    assert np.concatenate([part.hard for part in rows]).tolist() == wanted


def test_a_feature_that_the_days_do_not_have_is_missing_in_all_rows() -> None:
    scan, other = (Scan(None, (1_800_000, 0), 0) for _ in range(2))
    other.add(chunk(contexts(200), 0))
    spec = choose_features(other.contexts, other.features, SETTINGS)
    coded = scan.add(chunk([Context()] * 10, 0))
    rows = Translation(scan, ["i0", "i1", "i2", "i3", "i4"], spec).rows(coded)
    codes, numbers = FeatureEncoder(spec).encode([Context()] * 10)
    np.testing.assert_array_equal(rows.codes, codes)
    np.testing.assert_array_equal(rows.numbers, numbers)


def test_mean_and_deviation_are_the_same_bits_however_the_numbers_came() -> None:
    numbers = np.random.default_rng(1).normal(1e6, 3.0, 1000)
    found = []
    for size in (1, 7, 1000):
        moments = Moments()
        for start in range(0, 1000, size):
            moments.add(numbers[start : start + size])
        found.append((moments.mean, moments.deviation))
    assert found[0] == found[1] == found[2]
    assert found[0] == pytest.approx((np.mean(numbers), np.std(numbers)), rel=1e-9)


def test_a_number_that_never_varies_is_no_feature_and_neither_is_a_value_of_all() -> None:
    columns, counts = ContextColumns(), FeatureCounts()
    same = [Context({"device": "phone"}, {"hour": 0.1})] * 30
    counts.add(columns, *columns.of(same))
    spec = choose_features(columns, counts, SETTINGS)
    assert (spec.discrete, spec.continuous) == ((), ())
