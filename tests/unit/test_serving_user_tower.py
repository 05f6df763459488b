"""The user tower in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from contracts.arrays import Floats
from contracts.bases import USER_TOWER, BaseStore, OpenBase
from contracts.errors import Corrupt
from contracts.events import Context
from contracts.features import FeatureEncoder, FeatureSpec
from contracts.layout import Layout
from serving.user_tower import UserTower
from tests.support.bases import NO_FEATURES, SOME_FEATURES, Tiny, tiny_base, user_tower

CONTEXTS = [
    Context(),
    Context({"device": "phone", "country": "US"}, {"hour": 3.0}),
    Context({"device": "a toaster", "colour": "red"}, {"height": 9.0}),
]
FEATURES = [
    SOME_FEATURES,
    NO_FEATURES,
    FeatureSpec(discrete=SOME_FEATURES.discrete),
    FeatureSpec(continuous=SOME_FEATURES.continuous),
]


def by_hand(base: OpenBase, embeddings: Floats, contexts: Sequence[Context]) -> Floats:
    """Return what the tiny tower computes, in numpy from its own weights."""
    graph = onnx.load_model_from_string(base.file(USER_TOWER)).graph
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    codes, numbers = FeatureEncoder(base.manifest.towers.context).encode(contexts)
    hidden = embeddings
    if codes.shape[1]:
        hidden = hidden + codes.astype(np.float32) @ weights["codes_weights"]
    if numbers.shape[1]:
        hidden = hidden + numbers @ weights["numbers_weights"]
    return np.asarray(hidden / np.linalg.norm(hidden, axis=1, keepdims=True) / weights["temperature"])


@pytest.mark.parametrize("features", FEATURES, ids=["all", "none", "discrete only", "continuous only"])
def test_the_tower_gets_the_inputs_that_it_has_and_no_others(tmp_path: Path, features: FeatureSpec) -> None:
    base = tiny_base(Layout(tmp_path), Tiny(context=features))
    embeddings = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    found = UserTower(base).vectors(embeddings, CONTEXTS)
    assert found.dtype == np.float32
    assert np.allclose(found, by_hand(base, embeddings, CONTEXTS), atol=1e-4)


def with_tower(layout: Layout, tower: bytes) -> OpenBase:
    """Return the tiny base with another user tower."""
    whole = tiny_base(layout)
    files = {file.name: whole.file(file.name) for file in whole.manifest.files}
    manifest = msgspec.structs.replace(whole.manifest, base_id="changed")
    return BaseStore(layout).write(manifest, {**files, USER_TOWER: tower})


def test_a_file_that_is_no_tower_is_named_by_its_base(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=r"the user tower \(fp32\) of base changed"):
        UserTower(with_tower(Layout(tmp_path), b"not a graph"))


def test_a_tower_of_another_width_is_refused(tmp_path: Path) -> None:
    tower = UserTower(with_tower(Layout(tmp_path), user_tower(np.random.default_rng(0), 8, NO_FEATURES)))
    assert tower.vectors(np.ones((1, 8), np.float32), [Context()]).shape == (1, 8)
    graph = onnx.load_model_from_string(user_tower(np.random.default_rng(0), 8, NO_FEATURES))
    graph.graph.node[0].attribute[0].i = 1
    graph.graph.input[0].name = "surprise"
    graph.graph.node[0].input[0] = "surprise"
    with pytest.raises(Corrupt, match="surprise"):
        UserTower(with_tower(Layout(tmp_path / "other"), graph.SerializeToString()))
