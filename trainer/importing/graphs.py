"""A foreign tower as ONNX: checked before it is run, and run on made-up inputs before it is believed.

Its inputs are those of our own towers, each once at most: `id_embedding` float32 [n, k], `codes` int64 [n, F],
`numbers` float32 [n, C]; its one output is float32 [n, width]. A graph is checked, not fenced in: run only graphs of
people whom you trust with the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, inliner

from contracts.arrays import Floats, Integers
from contracts.errors import UsageError
from contracts.features import MAX_DEVIATIONS, FeatureSpec
from trainer.export import session

MOST_BYTES = 1 << 30
OLDEST_OPSET = 13
TYPES = {"id_embedding": TensorProto.FLOAT, "codes": TensorProto.INT64, "numbers": TensorProto.FLOAT}
CONTROL = {"If", "Loop", "Scan", "SequenceMap"}
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
SPARSE = {AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS}
PROBES = 64
BATCH = 1024
SPREAD = 2.0
SAME = 1e-4
HOW = "docs/import.md says what a tower may have, and how it is exported."


@dataclass(frozen=True)
class Graph:
    """A tower that was checked. `what`: its file; `widths`: of its inputs, by name (0: the graph leaves it open)."""

    what: str
    model: onnx.ModelProto
    widths: dict[str, int]

    def runner(self) -> Runner:
        """Return what runs it. Raises `UsageError`."""
        return Runner(self.what, self.model.SerializeToString())


@dataclass(frozen=True)
class Inputs:
    """Made-up inputs, n of each: `codes` int64 [n, F], `numbers` float32 [n, C]."""

    codes: Integers
    numbers: Floats

    def at(self, where: Integers) -> Inputs:
        """Return some of them, by position."""
        return Inputs(self.codes[where], self.numbers[where])

    def __len__(self) -> int:
        return len(self.codes)


def read_graph(path: Path, data: bytes, spec: FeatureSpec, with_id: bool) -> Graph:
    """Return the tower in a file's bytes, whose features are those of `spec`; `with_id`: it may have `id_embedding`.

    Raises `UsageError` naming the file and what is wrong with it.
    """
    try:
        model = inliner.inline_local_functions(onnx.load_model_from_string(data))
        for tensor in _tensors(model):
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                raise _refused(path, "keeps its weights in another file", "Export it with external_data=False.")
        _check_operators(path, model)
        onnx.checker.check_model(model)
    except UsageError:
        raise
    except Exception as error:  # protobuf and onnx raise classes of their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _refused(path, f"is no ONNX model: {said}") from None
    sizes = {"codes": len(spec.discrete), "numbers": len(spec.continuous)}
    return Graph(str(path), model, _widths(path, model, sizes | ({"id_embedding": 0} if with_id else {})))


def made_up(spec: FeatureSpec, count: int = PROBES) -> Inputs:
    """Return the same inputs for the same spec; the first is the unknown one: every code 0, every number the mean."""
    dice = np.random.default_rng(0)
    sizes = np.array([len(feature.values) + 1 for feature in spec.discrete], dtype=np.int64)
    codes = dice.integers(sizes, size=(count, len(sizes)), dtype=np.int64)
    numbers = np.clip(dice.normal(scale=SPREAD, size=(count, len(spec.continuous))), -MAX_DEVIATIONS, MAX_DEVIATIONS)
    codes[0], numbers[0] = 0, 0
    return Inputs(codes, numbers.astype(np.float32))


def every_code(spec: FeatureSpec) -> Iterator[Inputs]:
    """Yield inputs, `BATCH` at a time at most: each code of each feature, and each number at both ends of its range."""
    sizes = np.array([len(feature.values) + 1 for feature in spec.discrete], dtype=np.int64)
    ends = np.where(made_up(spec, BATCH).numbers < 0, -MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)
    ends[1::2] = -ends[::2]
    most = int(sizes.max(initial=2))
    for first in range(0, most, BATCH):
        rows = np.arange(first, min(first + BATCH, most))
        yield Inputs(rows[:, None] % sizes, ends[: len(rows)])


class Runner:
    """Runs a tower, and notices what no row of an answer may depend on."""

    def __init__(self, what: str, model: bytes) -> None:
        self._what = what
        try:
            self._session = session(model)
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
            raise _refused(what, f"cannot be loaded: {str(error).splitlines()[0]}") from None
        self._names = [each.name for each in self._session.get_inputs()]

    def vectors(self, inputs: Inputs, rows: Floats | None = None) -> Floats:
        """Return float32 [n, width] for inputs and as many `rows` of ids, float32 [n, k]. Raises `UsageError`."""
        given = {"codes": inputs.codes, "numbers": inputs.numbers, "id_embedding": rows}
        try:
            (found,) = self._session.run(None, {name: given[name] for name in self._names})
        except Exception as error:
            raise _refused(self._what, f"fails on {len(inputs)} rows: {str(error).splitlines()[0]}") from None
        if found.dtype != np.float32 or found.ndim != 2 or len(found) != len(inputs):
            raise _refused(
                self._what, f"answers {len(inputs)} rows with {found.dtype} {list(found.shape)}, not float32 [n, width]"
            )
        if not np.isfinite(found).all():
            raise _refused(self._what, "answers with numbers that are not finite")
        return np.asarray(found)

    def tried(self, spec: FeatureSpec) -> Floats:
        """Return `checked` of made-up inputs, if the tower can answer every code as well. Raises `UsageError`."""
        for inputs in every_code(spec):
            self.vectors(inputs)
        return self.checked(made_up(spec))

    def checked(self, inputs: Inputs, rows: Floats | None = None) -> Floats:
        """Return `vectors`, if they are the same again, in another order, and one by one. Raises `UsageError`."""
        found = self.vectors(inputs, rows)
        back = np.arange(len(inputs))[::-1].copy()
        turned = self.vectors(inputs.at(back), rows[back] if rows is not None else None)[back]
        first = np.zeros(1, np.int64)
        alone = self.vectors(inputs.at(first), rows[first] if rows is not None else None)
        for other, mine in ((self.vectors(inputs, rows), found), (turned, found), (alone, found[:1])):
            if np.abs(other - mine).max(initial=0) > SAME * (1 + np.abs(mine).max(initial=0)):
                raise _refused(
                    self._what,
                    "answers a row differently the next time, or beside other rows",
                    "Export it in its evaluation mode: model.eval().",
                )
        return found


def _widths(path: Path, model: onnx.ModelProto, sizes: dict[str, int]) -> dict[str, int]:
    constants = {each.name for each in model.graph.initializer}
    found = {}
    for each in model.graph.input:
        if each.name in constants:
            continue
        kind = each.type.tensor_type
        if each.name not in sizes:
            raise _refused(path, f"has the input {each.name!r}; it may have {', '.join(sorted(sizes))}")
        if kind.elem_type != TYPES[each.name] or len(kind.shape.dim) != 2:
            wanted = "int64" if each.name == "codes" else "float32"
            raise _refused(path, f"has an input {each.name!r} that is not {wanted} [n, features]")
        if kind.shape.dim[0].dim_value:
            raise _refused(path, f"takes {kind.shape.dim[0].dim_value} rows at once alone: its first axis is fixed")
        width = int(kind.shape.dim[1].dim_value)
        if each.name != "id_embedding":
            _check_features(path, each.name, width, sizes[each.name])
        found[each.name] = width or sizes[each.name]
    if not found:
        raise _refused(path, "has no inputs")
    if len(model.graph.output) != 1:
        raise _refused(path, f"has {len(model.graph.output)} outputs, not one")
    return found


def _check_features(path: Path, name: str, width: int, count: int) -> None:
    if not count or width not in (0, count):
        raise _refused(path, f"takes {width or 'some'} {name}, where --features describes {count}")


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    opsets = {each.domain: each.version for each in model.opset_import}
    if opsets.get("", opsets.get("ai.onnx", 0)) < OLDEST_OPSET:
        raise _refused(path, f"is of an operator set before {OLDEST_OPSET}")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise _refused(path, f"uses the operator {node.op_type} of {node.domain!r}, which is not ONNX's own")
        if node.op_type in CONTROL | RANDOM:
            raise _refused(path, f"uses the operator {node.op_type}: no loops, branches or chance")
        if any(each.type in SPARSE for each in node.attribute):
            raise _refused(path, "has sparse weights")
    if model.graph.sparse_initializer:
        raise _refused(path, "has sparse weights")


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        attributes: list[Any] = list(node.attribute)
        for attribute in attributes:
            if attribute.type in (AttributeProto.TENSOR, AttributeProto.TENSORS):
                yield from (attribute.t, *attribute.tensors)


def _refused(path: Path | str, why: str, hint: str = "") -> UsageError:
    return UsageError(f"the tower {path} {why}", hint=f"{hint} {HOW}".strip())
