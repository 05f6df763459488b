"""ONNX towers: what torch computes, for every mix of features; inputs that a tower has no features for are absent."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import pytest
import torch

from contracts.bases import Towers
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from trainer import export
from trainer.towers import TwoTowers, load

DISCRETE = (DiscreteFeature("device", ("phone", "desktop")), DiscreteFeature("country", ("BR", "PT", "US")))
CONTINUOUS = (ContinuousFeature("hour", 12.0, 6.0),)
SPECS = {
    "none": FeatureSpec(),
    "discrete": FeatureSpec(DISCRETE),
    "continuous": FeatureSpec((), CONTINUOUS),
    "both": FeatureSpec(DISCRETE, CONTINUOUS),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
ROWS = 50


def towers(spec: FeatureSpec, score: Literal["cosine", "dot"] = "cosine") -> TwoTowers:
    torch.manual_seed(3)
    return TwoTowers(Towers(8, 16, score, 0.1, spec, spec))


def rows(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    sizes = [len(feature.values) + 1 for feature in spec.discrete]
    codes = np.stack([rng.integers(0, size, ROWS) for size in sizes], 1) if sizes else np.zeros((ROWS, 0), np.int64)
    numbers = rng.normal(size=(ROWS, len(spec.continuous))).astype(np.float32)
    return rng.normal(size=(ROWS, 8)).astype(np.float32), codes, numbers


@every_spec
@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_the_exported_towers_compute_what_torch_computes(spec: FeatureSpec, score: Literal["cosine", "dot"]) -> None:
    model, given = towers(spec, score), rows(spec)
    with torch.no_grad():
        user = model.user(*map(torch.from_numpy, given)).numpy()
        item = model.item(*map(torch.from_numpy, given)).numpy()
    np.testing.assert_allclose(export.run(export.user_tower(model.user), *given), user, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(export.run(export.item_tower(model.item), *given), item, rtol=1e-4, atol=1e-5)


@every_spec
def test_inputs_that_a_tower_has_no_features_for_are_absent(spec: FeatureSpec) -> None:
    graph = onnx.load_model_from_string(export.user_tower(towers(spec).user)).graph
    wanted = ["id_embedding", *["codes"] * bool(spec.discrete), *["numbers"] * bool(spec.continuous)]
    assert [each.name for each in graph.input] == wanted
    assert [each.name for each in graph.output] == ["user_vector"]


def test_a_cosine_user_vector_has_the_length_of_one_over_the_temperature_and_an_item_vector_of_one() -> None:
    spec = SPECS["both"]
    model, given = towers(spec), rows(spec)
    user, item = (export.run(data, *given) for data in (export.user_tower(model.user), export.item_tower(model.item)))
    np.testing.assert_allclose(np.linalg.norm(user, axis=1), 10.0, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(item, axis=1), 1.0, rtol=1e-4)


@every_spec
def test_the_int8_user_tower_points_where_the_full_one_does(spec: FeatureSpec) -> None:
    full = export.user_tower(towers(spec).user)
    a, b = (export.run(model, *rows(spec)) for model in (full, export.quantised(full)))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.99


@every_spec
def test_the_same_parameters_give_the_same_bytes(spec: FeatureSpec) -> None:
    first, again = (export.user_tower(towers(spec).user) for _ in range(2))
    assert first == again
    assert export.quantised(first) == export.quantised(again)


@every_spec
def test_packed_parameters_load_bit_for_bit(spec: FeatureSpec) -> None:
    model = towers(spec)
    loaded = load(model.user.towers, model.packed(), "dense")
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert loaded.packed() == model.packed()


def test_the_id_embedding_enters_the_user_vector_linearly() -> None:
    spec = SPECS["both"]
    user, given = towers(spec, "dot").user, tuple(map(torch.from_numpy, rows(spec)))
    shift = torch.full((8,), 0.25)
    with torch.no_grad():
        moved = user(given[0] + shift, *given[1:]) - user(*given)
    torch.testing.assert_close(moved, shift.expand(ROWS, 8))
