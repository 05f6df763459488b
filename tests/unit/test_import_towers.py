"""Towers as ONNX: which are taken, how they are put together, and why others are refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from contracts.bases import Towers
from contracts.errors import UsageError
from contracts.features import DiscreteFeature, FeatureSpec
from tests.support.two_towers import CONTEXT, WIDTH, Encoder, Tower, export
from trainer.export import run
from trainer.importing import compose
from trainer.importing.graphs import Graph, every_code, made_up, read_graph
from trainer.importing.linearity import Linear, probe
from trainer.towers import queries

INPUTS = made_up(CONTEXT)
ROWS = np.random.default_rng(3).normal(size=(len(INPUTS), WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp())


def graph_of(path: Path, with_id: bool = True) -> Graph:
    return read_graph(path, path.read_bytes(), CONTEXT, with_id)


def probed(folder: Path, kind: str, width: int = WIDTH) -> tuple[Graph, Linear]:
    graph = graph_of(export(Tower(kind, width), folder / f"{kind}{width}.onnx", width))
    return graph, probe(graph, CONTEXT, ROWS[:, :width])


def test_a_tower_that_adds_the_row_is_taken_as_it_is(folder: Path) -> None:
    _, linear = probed(folder, "added")
    assert linear.matrix is None
    assert linear.deviation <= 1e-3
    assert linear.folded(ROWS) is ROWS


@pytest.mark.parametrize("width", [WIDTH, 5])
def test_a_tower_that_turns_the_row_is_taken_and_its_matrix_folded_into_the_rows(folder: Path, width: int) -> None:
    graph, linear = probed(folder, "turned", width)
    assert linear.matrix is not None
    assert linear.matrix.shape == (width, WIDTH)
    rows = ROWS[:, :width].copy()
    zero = graph.runner().vectors(INPUTS, np.zeros_like(rows))
    assert np.allclose(graph.runner().vectors(INPUTS, rows), linear.folded(rows) + zero, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("mlp", "user vector = row + encoder(context)"),
        ("gated", "Online rows cannot lift such a model"),
        ("normalised", "length 1, so it normalises them: export what comes before"),
    ],
)
def test_a_tower_in_which_the_row_is_not_linear_is_refused_with_how_far_off_it_is(
    folder: Path, kind: str, advice: str
) -> None:
    with pytest.raises(UsageError, match=r"not let the id row through linearly.* off by up to \d+\.\d%") as caught:
        probed(folder, kind)
    assert f"{kind}16.onnx" in str(caught.value)
    assert advice in caught.value.hint


def test_a_tower_that_ignores_the_row_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="does not look at id_embedding"):
        probed(folder, "ignored")


MANY = FeatureSpec((DiscreteFeature("shop", tuple(map(str, range(3000)))),), CONTEXT.continuous)


def by_code(factor: float, with_id: bool) -> Graph:
    """A tower that multiplies what it adds, for the code 2900 alone by another factor than 1."""
    factors = np.where(np.arange(3001) == 2900, np.float32(factor), np.float32(1))
    nodes = [
        helper.make_node("Constant", [], ["factors"], value=numpy_helper.from_array(factors)),
        helper.make_node("Gather", ["factors", "codes"], ["factor"]),
        helper.make_node("MatMul", ["numbers", "weight"], ["clean"]),
        helper.make_node("Mul", ["id_embedding" if with_id else "clean", "factor"], ["part"]),
        helper.make_node("Add", ["clean", "part"], ["context"]),
    ]
    rows: dict[str, tuple[int, list[str | int | None]]] = {"id_embedding": (TensorProto.FLOAT, ["n", WIDTH])}
    made = model(nodes, more=rows if with_id else {})
    return read_graph(Path("tower.onnx"), made.SerializeToString(), MANY, with_id)


def test_a_code_that_is_seldom_seen_is_tried_as_well() -> None:
    assert probe(by_code(1.0, with_id=True), MANY, ROWS).matrix is None
    with pytest.raises(UsageError, match="does not let the id row through linearly"):
        probe(by_code(1.5, with_id=True), MANY, ROWS)
    assert by_code(1.5, with_id=False).runner().tried(MANY).shape == ROWS.shape
    with pytest.raises(UsageError, match="not finite"):
        by_code(np.nan, with_id=False).runner().tried(MANY)


def test_numbers_are_tried_at_both_ends_of_their_range() -> None:
    for spec in (CONTEXT, FeatureSpec((), CONTEXT.continuous), MANY):
        ends = {number for inputs in every_code(spec) for number in inputs.numbers[:, 0].tolist()}
        assert ends == {-10.0, 10.0}
    assert [len(inputs) for inputs in every_code(MANY)] == [1024, 1024, 953]


def test_a_tower_that_is_linear_but_for_the_models_own_rows_is_refused() -> None:
    clipped = [
        helper.make_node("Constant", [], ["most"], value=numpy_helper.from_array(np.array(190, np.float32))),
        helper.make_node("Min", ["id_embedding", "most"], ["row"]),
        helper.make_node("MatMul", ["numbers", "weight"], ["clean"]),
        helper.make_node("Add", ["clean", "row"], ["context"]),
    ]
    made = model(clipped, more={"id_embedding": (TensorProto.FLOAT, ["n", WIDTH])})
    graph = read_graph(Path("tower.onnx"), made.SerializeToString(), CONTEXT, with_id=True)
    assert probe(graph, CONTEXT, ROWS).matrix is None
    own = np.tile(ROWS, (4, 1))  # so many that chance does not come near the one
    own[7, 3] = 200
    with pytest.raises(UsageError, match="does not let the id row through linearly"):
        probe(graph, CONTEXT, own)


@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize("kind", ["encoder", "added", "turned"])
def test_the_towers_put_together_compute_what_the_model_computes(folder: Path, kind: str, score: str) -> None:
    if kind == "encoder":
        graph = graph_of(export(Encoder(), folder / "encoder.onnx"), with_id=False)
    else:
        graph, _ = probed(folder, kind)
    towers = Towers(WIDTH, 1, "dot" if score == "dot" else "cosine", 0.2, CONTEXT, FeatureSpec())
    encoder = compose.context_encoder(graph, towers, 0.5)
    contexts = graph.runner().vectors(INPUTS, np.zeros_like(ROWS)) * np.float32(0.5)
    assert np.allclose(run(compose.packed(encoder), ROWS, INPUTS.codes, INPUTS.numbers), contexts, atol=1e-6)
    found = run(compose.user_tower(encoder, towers), ROWS, INPUTS.codes, INPUTS.numbers)
    assert np.allclose(found, queries(ROWS + contexts, towers), atol=1e-5)
    assert compose.user_tower(encoder, towers) == compose.user_tower(encoder, towers)


def test_without_a_context_the_user_tower_is_the_row_alone() -> None:
    towers = Towers(WIDTH, 1, "cosine", 0.1, FeatureSpec(), FeatureSpec())
    found = run(compose.user_tower(None, towers), ROWS, INPUTS.codes, INPUTS.numbers)
    assert np.allclose(found, queries(ROWS, towers), atol=1e-5)


def model(
    nodes: list[onnx.NodeProto] | None = None,
    codes: tuple[int, list[str | int | None]] = (TensorProto.INT64, ["n", 1]),
    more: dict[str, tuple[int, list[str | int | None]]] | None = None,
    domain: str = "",
    opset: int = 17,
) -> onnx.ModelProto:
    """A small encoder: numbers times a weight; `codes` are an input that nothing looks at."""
    weight = numpy_helper.from_array(np.ones((1, WIDTH), np.float32), "weight")
    made = nodes or [helper.make_node("MatMul", ["numbers", "weight"], ["context"], domain=domain)]
    numbers: tuple[int, list[str | int | None]] = (TensorProto.FLOAT, ["n", 1])
    inputs = {"codes": codes, "numbers": numbers, **(more or {})}
    graph = helper.make_graph(
        made,
        "encoder",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info("context", TensorProto.FLOAT, ["n", WIDTH])],
        [weight],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def elsewhere() -> onnx.ModelProto:
    found = model()
    weight = found.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../etc/passwd")
    return found


def sparse() -> onnx.ModelProto:
    """A weight as a sparse constant, whose values stand in another file."""
    values = elsewhere().graph.initializer[0]
    found = onnx.SparseTensorProto(values=values, indices=numpy_helper.from_array(np.array([0])), dims=[WIDTH])
    constant = onnx.NodeProto(op_type="Constant", output=["constant"])
    constant.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR, sparse_tensor=found)
    multiply = helper.make_node("MatMul", ["numbers", "weight"], ["clean"])
    return model([constant, multiply, helper.make_node("Add", ["clean", "constant"], ["context"])])


def random() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["numbers", "weight"], ["clean"]),
        helper.make_node("RandomNormalLike", ["clean"], ["noise"]),
        helper.make_node("Add", ["clean", "noise"], ["context"]),
    ]
    return model(nodes)


def branching() -> onnx.ModelProto:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["clean"], ["out"])],
        "inner",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("MatMul", ["numbers", "weight"], ["clean"]),
        helper.make_node("ReduceMax", ["clean"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["context"], then_branch=inner, else_branch=inner),
    ]
    return model(nodes)


def batch_normalised() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["numbers", "weight"], ["clean"]),
        helper.make_node("ReduceMean", ["clean"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["clean", "mean"], ["context"]),
    ]
    return model(nodes)


def logged() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["numbers", "weight"], ["clean"]),
        helper.make_node("Log", ["clean"], ["context"]),
    ]
    return model(nodes)


FAULTY: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "external data": (elsewhere, "keeps its weights in another file"),
    "sparse external data": (sparse, "has sparse weights"),
    "custom operator": (lambda: model(domain="com.somebody"), "operator MatMul of 'com.somebody'"),
    "microsoft operator": (lambda: model(domain="com.microsoft"), "operator MatMul of 'com.microsoft'"),
    "chance": (random, "operator RandomNormalLike: no loops, branches or chance"),
    "branch": (branching, "operator If: no loops, branches or chance"),
    "old": (lambda: model(opset=12), "operator set before 13"),
    "unknown input": (lambda: model(more={"age": (TensorProto.FLOAT, ["n", 1])}), "the input 'age'; it may have"),
    "id in an encoder": (lambda: model(more={"id_embedding": (TensorProto.FLOAT, ["n", 16])}), "input 'id_embedding'"),
    "codes as floats": (lambda: model(codes=(TensorProto.FLOAT, ["n", 1])), "'codes' that is not int64"),
    "two codes": (lambda: model(codes=(TensorProto.INT64, ["n", 2])), "takes 2 codes, where --features describes 1"),
    "fixed batch": (lambda: model(codes=(TensorProto.INT64, [1, 1])), "takes 1 rows at once alone"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_graph_that_does_not_fit_is_refused_before_it_is_run(tmp_path: Path, name: str) -> None:
    make, sentence = FAULTY[name]
    with pytest.raises(UsageError, match=sentence) as caught:
        read_graph(tmp_path / "tower.onnx", make().SerializeToString(), CONTEXT, with_id=False)
    assert "tower.onnx" in str(caught.value)
    assert "docs/import.md" in caught.value.hint


@pytest.mark.parametrize(
    ("make", "sentence"),
    [(batch_normalised, "differently the next time, or beside other rows"), (logged, "numbers that are not finite")],
)
def test_a_graph_whose_answers_cannot_be_used_is_refused(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], sentence: str
) -> None:
    graph = read_graph(tmp_path / "tower.onnx", make().SerializeToString(), CONTEXT, with_id=False)
    with pytest.raises(UsageError, match=sentence):
        graph.runner().checked(INPUTS)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x08\x08\x12\xff\xff\xff\xff", bytes(range(256))])
def test_bytes_that_are_no_graph_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match=r"tower\.onnx"):
        read_graph(tmp_path / "tower.onnx", data, CONTEXT, with_id=False)


def test_weights_beside_the_file_are_refused_with_what_to_do(folder: Path) -> None:
    path = export(Encoder(), folder / "two-files.onnx", external_data=True)
    with pytest.raises(UsageError, match="keeps its weights in another file") as caught:
        graph_of(path, with_id=False)
    assert "external_data=False" in caught.value.hint
