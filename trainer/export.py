"""The towers as ONNX, in the one way that serving reads them.

user_tower.onnx (and user_tower_int8.onnx, dynamically quantised):
    id_embedding float32 [n, d]   common row + own row, summed by the caller
    codes        int64 [n, F]     absent when the tower has no discrete features
    numbers      float32 [n, C]   absent when the tower has no continuous features
    -> user_vector float32 [n, d] score = user_vector . item_vector + bias_weight * bias, for cosine and dot alike
item_tower.onnx: the same inputs -> item_vector float32 [n, d], of length one with cosine.

The graphs are built node by node: the same parameters give the same bytes, and no path or version gets in.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from contracts import bases
from contracts.arrays import Array, Floats, Integers
from contracts.bases import Towers
from contracts.errors import FreshetError
from contracts.features import FeatureSpec
from trainer.epoch import TrainingRows
from trainer.full_model import StartingRows
from trainer.item_content import Content
from trainer.towers import FEATURE_WIDTH, TINY, FeatureInput, ItemTower, TwoTowers, UserTower

OPSET, IR_VERSION = 17, 8
TOLERANCE = 1e-4
CHECKED_ROWS = 256
TOP, LEAST_AGREEMENT = 20, 0.98


class _Graph:
    """Collects nodes and constants; `add` returns the name of a node's output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}:{kind}", **attributes))
        return output


def user_tower(tower: UserTower) -> bytes:
    """Return the user tower as ONNX."""
    graph, towers = _Graph(), tower.towers
    z = "id_embedding"
    if tower.features.width:
        context = _mlp(graph, tower.mlp, _features(graph, tower.features, towers.context))
        z = graph.add("Add", ["id_embedding", context], "z")
    scale = 1 / towers.temperature if towers.score == "cosine" else None
    return _model(graph, towers, towers.context, _scaled(graph, z, "user_vector", scale))


def item_tower(tower: ItemTower) -> bytes:
    """Return the item tower as ONNX."""
    graph, towers = _Graph(), tower.towers
    inputs = ["id_embedding"]
    if tower.features.width:
        inputs.append(_features(graph, tower.features, towers.content))
    mixed = _mlp(graph, tower.mlp, graph.add("Concat", inputs, "mixed", axis=1))
    z = graph.add("Add", ["id_embedding", mixed], "z")
    scale = 1.0 if towers.score == "cosine" else None
    return _model(graph, towers, towers.content, _scaled(graph, z, "item_vector", scale))


def quantised(model: bytes) -> bytes:
    """Return the model with INT8 weights (dynamic quantisation: activations are quantised as they come)."""
    prepared = onnx.load_model_from_string(model)
    helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})  # nothing is left to fuse
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(prepared, str(path), weight_type=QuantType.QInt8)
        return path.read_bytes()


def run(model: bytes, id_embedding: Floats, codes: Integers, numbers: Floats) -> Floats:
    """Run an exported tower on rows; inputs that it does not have are left out."""
    found = session(model)
    given = {"id_embedding": id_embedding, "codes": codes, "numbers": numbers}
    feed = {each.name: given[each.name] for each in found.get_inputs()}
    return np.asarray(found.run(None, feed)[0], dtype=np.float32)


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Return what runs an ONNX model on one thread. Raises what ONNX Runtime raises, classes of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def checked(
    towers: TwoTowers, rows: StartingRows, content: Content, day: TrainingRows, vectors: Floats
) -> tuple[dict[str, bytes], dict[str, float]]:
    """Return the three files of a base, computed to be what torch computes on rows of `day`, and how they compare.

    `vectors`: float32 [items, d], the item vectors, over which the first `TOP` are compared as well. Raises
    `FreshetError` where the exported towers differ: then no base may be written.
    """
    files = {
        bases.USER_TOWER: user_tower(towers.user),
        bases.ITEM_TOWER: item_tower(towers.item),
    }
    files[bases.USER_TOWER_INT8] = quantised(files[bases.USER_TOWER])
    codes, numbers = day.codes[:CHECKED_ROWS], day.numbers[:CHECKED_ROWS]
    id_embedding = rows.common + rows.own[day.users[:CHECKED_ROWS]]
    items = rows.items[:CHECKED_ROWS]
    about = content.inputs(slice(CHECKED_ROWS))
    with torch.no_grad():
        wanted = towers.user(*map(torch.from_numpy, (id_embedding, codes, numbers))).numpy()
        item_wanted = towers.item(torch.from_numpy(items), *about).numpy()
    _check_equal("user tower", run(files[bases.USER_TOWER], id_embedding, codes, numbers), wanted)
    _check_equal("item tower", run(files[bases.ITEM_TOWER], items, *(each.numpy() for each in about)), item_wanted)
    int8 = run(files[bases.USER_TOWER_INT8], id_embedding, codes, numbers)
    ours = run(files[bases.USER_TOWER], id_embedding, codes, numbers)
    agreement = top_agreement(ours @ vectors.T + rows.biases, wanted @ vectors.T + rows.biases)
    _check_top(agreement)
    return files, {
        "onnx_top20_agreement": agreement,
        "int8_top20_agreement": top_agreement(int8 @ vectors.T + rows.biases, wanted @ vectors.T + rows.biases),
        "int8_least_cosine": _least_cosine(int8, wanted),
    }


def top_agreement(scores: Floats, wanted: Floats) -> float:
    """Return which share of the first `TOP` by `wanted`, float32 [n, items], is among the first by `scores`."""
    top = min(TOP, wanted.shape[1])
    ours, theirs = (np.argpartition(-each, top - 1, axis=1)[:, :top] for each in (scores, wanted))
    found = [len(np.intersect1d(one, other)) for one, other in zip(ours, theirs, strict=True)]
    return float(np.mean(found)) / top if found else 1.0


def _check_top(agreement: float) -> None:
    if agreement < LEAST_AGREEMENT:
        raise FreshetError(
            f"the exported user tower finds {agreement:.1%} of the first {TOP} items that torch finds, not "
            f"{LEAST_AGREEMENT:.0%}",
            hint="Versions of torch and onnxruntime that do not fit together; the base was not written.",
        )


def _check_equal(what: str, exported: Floats, wanted: Floats) -> None:
    apart = float(np.max(np.abs(exported - wanted) / (1 + np.abs(wanted)), initial=0.0))
    if not apart <= TOLERANCE:
        raise FreshetError(
            f"the exported {what} differs from torch by {apart:.2e}, more than {TOLERANCE:.0e}",
            hint="Versions of torch and onnxruntime that do not fit together; the base was not written.",
        )


def _least_cosine(a: Floats, b: Floats) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.min((a * b).sum(1) / np.maximum(lengths, TINY), initial=1.0))


def _features(graph: _Graph, features: FeatureInput, spec: FeatureSpec) -> str:
    parts = []
    if spec.discrete:
        offsets = graph.constant("code_offsets", features.offsets)
        table = graph.constant("code_table", features.table.weight.numpy(force=True))
        at = graph.add("Add", ["codes", offsets], "code_at")
        looked_up = graph.add("Gather", [table, at], "code_rows", axis=0)
        width = np.array([-1, len(spec.discrete) * FEATURE_WIDTH], dtype=np.int64)
        parts.append(graph.add("Reshape", [looked_up, graph.constant("code_shape", width)], "embedded"))
    if spec.continuous:
        parts.append("numbers")
    return graph.add("Concat", parts, "features", axis=1)


def _mlp(graph: _Graph, mlp: nn.Module, x: str) -> str:
    weights = mlp.state_dict()
    for layer, output in (("0", "hidden"), ("2", "context")):
        weight = graph.constant(f"{output}_weight", weights[f"{layer}.weight"].numpy(force=True).T)
        bias = graph.constant(f"{output}_bias", weights[f"{layer}.bias"].numpy(force=True))
        x = graph.add("Add", [graph.add("MatMul", [x, weight], f"{output}_product"), bias], f"{output}_sum")
        x = graph.add("Relu", [x], "hidden") if layer == "0" else x
    return x


def _scaled(graph: _Graph, z: str, output: str, scale: float | None) -> str:
    """Name `z` as the output, or for a cosine its unit vector times `scale`."""
    if scale is None:
        return graph.add("Identity", [z], output)
    length = graph.add("ReduceL2", [z], "length", axes=[1], keepdims=1)
    length = graph.add("Max", [length, graph.constant("tiny", np.array([TINY], np.float32))], "positive_length")
    unit = graph.add("Div", [z, length], "unit")
    return graph.add("Mul", [unit, graph.constant("scale", np.array([scale], np.float32))], output)


def _model(graph: _Graph, towers: Towers, spec: FeatureSpec, output: str) -> bytes:
    inputs = [helper.make_tensor_value_info("id_embedding", TensorProto.FLOAT, ["n", towers.width])]
    if spec.discrete:
        inputs.append(helper.make_tensor_value_info("codes", TensorProto.INT64, ["n", len(spec.discrete)]))
    if spec.continuous:
        inputs.append(helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["n", len(spec.continuous)]))
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", towers.width])]
    made = helper.make_graph(graph.nodes, "tower", inputs, outputs, graph.constants)
    model = helper.make_model(
        made, producer_name="freshet", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
