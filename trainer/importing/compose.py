"""Our files from a foreign tower: the graph as it is, and a few nodes around it.

    context_encoder.onnx  codes, numbers               -> context: scale * encoder(context)
    user_tower.onnx       id_embedding, codes, numbers -> user_vector: id_embedding + context, of length 1 / temperature
                                                          with a cosine
    item_tower.onnx       codes, numbers               -> item_vector: of length one with a cosine, else scale * tower

A user tower becomes an encoder by giving it rows of zeros, so that what is served adds the row by construction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from contracts.arrays import Array
from contracts.bases import Towers
from trainer.export import IR_VERSION, OPSET
from trainer.importing.graphs import TYPES, Graph
from trainer.towers import TINY

GIVEN = "given/"


def context_encoder(graph: Graph, towers: Towers, scale: float) -> onnx.ModelProto:
    """Return the encoder; of a user tower what it makes of rows of zeros."""
    made = _Extended(graph)
    made.scaled(made.output, scale, "context")
    return made.model("context", towers.width)


def user_tower(encoder: onnx.ModelProto | None, towers: Towers) -> bytes:
    """Return the user tower around an encoder of ours; None: without context."""
    made = _Extended(Graph("", encoder, dict(_inputs(encoder)))) if encoder else _Extended()
    made.inputs.append(_tensor("id_embedding", towers.width))
    z = made.add("Add", ["id_embedding", made.output], "z") if encoder else "id_embedding"
    if towers.score == "cosine":
        made.unit(z, 1 / towers.temperature, "user_vector")
    else:
        made.add("Identity", [z], "user_vector")
    return _bytes(made.model("user_vector", towers.width))


def item_tower(graph: Graph, towers: Towers, scale: float) -> bytes:
    """Return the item tower around a foreign one."""
    made = _Extended(graph)
    if towers.score == "cosine":
        made.unit(made.output, 1.0, "item_vector")
    else:
        made.scaled(made.output, scale, "item_vector")
    return _bytes(made.model("item_vector", towers.width))


def packed(model: onnx.ModelProto) -> bytes:
    """Return a model as a file of a base."""
    return _bytes(model)


class _Extended:
    """A graph of ours that begins with a foreign one, all of whose names get a prefix; without one it is empty.

    `inputs`: those of the whole; `output`: the name of what the foreign one answers.
    """

    def __init__(self, given: Graph | None = None) -> None:
        self.inputs: list[Any] = []
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._opsets = [helper.make_opsetid("", OPSET)]
        self._ir_version, self.output = IR_VERSION, ""
        if given:
            self._begin(given)

    def _begin(self, given: Graph) -> None:
        renamed = compose.add_prefix(given.model, GIVEN)
        self._opsets, self._ir_version = list(renamed.opset_import), renamed.ir_version
        for name, width in given.widths.items():
            if name != "id_embedding":
                self.inputs.append(_tensor(name, width))
                self.add("Identity", [name], GIVEN + name)
        if "id_embedding" in given.widths:
            self._zeros(next(name for name in given.widths if name != "id_embedding"), given.widths["id_embedding"])
        for node in renamed.graph.node:
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
            self._nodes.append(node)
        self._constants += renamed.graph.initializer
        self.output = renamed.graph.output[0].name

    def _zeros(self, like: str, width: int) -> None:
        """Give the foreign `id_embedding` rows of zeros, as many as the input `like` has."""
        count = self.add("Gather", [self.add("Shape", [like], "all_sizes"), self.constant("first", [0])], "rows")
        shape = self.add("Concat", [count, self.constant("width", [width])], "zero_shape", axis=0)
        zero = numpy_helper.from_array(np.zeros(1, np.float32))
        self.add("ConstantOfShape", [shape], GIVEN + "id_embedding", value=zero)

    def constant(self, name: str, value: list[int] | Array) -> str:
        """Add a constant; return its name."""
        array = np.array(value, np.int64) if isinstance(value, list) else value
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}:{kind}", **attributes))
        return output

    def scaled(self, x: str, scale: float, output: str) -> None:
        """Add `output`: x times a number."""
        self.add("Mul", [x, self.constant(f"{output}_scale", np.array([scale], np.float32))], output)

    def unit(self, z: str, scale: float, output: str) -> None:
        """Add `output`: z / |z| times a number. Only operators that no operator set from 13 on has changed."""
        squares = self.add("ReduceSum", [self.add("Mul", [z, z], "squared"), self.constant("along", [1])], "squares")
        length = self.add("Sqrt", [squares], "length")
        length = self.add("Max", [length, self.constant("tiny", np.array([TINY], np.float32))], "positive_length")
        self.scaled(self.add("Div", [z, length], "unit"), scale, output)

    def model(self, output: str, width: int) -> onnx.ModelProto:
        """Return the whole, checked; `output` is float32 [n, width]."""
        outputs = [_tensor(output, width, TensorProto.FLOAT)]
        made = helper.make_graph(self._nodes, "tower", self.inputs, outputs, self._constants)
        whole = helper.make_model(
            made, producer_name="freshet", ir_version=self._ir_version, opset_imports=self._opsets
        )
        onnx.checker.check_model(whole)
        return whole


def _tensor(name: str, width: int, kind: int | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TYPES[name] if kind is None else kind, ["n", width])


def _inputs(model: onnx.ModelProto) -> list[tuple[str, int]]:
    return [(each.name, int(each.type.tensor_type.shape.dim[1].dim_value)) for each in model.graph.input]


def _bytes(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
