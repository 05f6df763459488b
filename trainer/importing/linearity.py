"""Whether a user tower lets the id row through linearly: the condition under which moving rows moves user vectors.

f(row, context) - f(0, context) must be A row, with one matrix A for every context. A is read off the unit vectors, and
tried on random rows of several lengths and on some of the model's own, with contexts of all kinds. A tower that scales
or turns the row is taken: the rows are multiplied by A, so that what Freshet moves is A row, and the tower that remains
adds it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contracts.arrays import Floats
from contracts.errors import UsageError
from contracts.features import FeatureSpec
from trainer.importing.graphs import PROBES, Graph, Inputs, Runner, every_code, made_up

TOLERANCE = 1e-3
ROUNDING = 1e-5
LENGTHS = (0.1, 1.0, 10.0)


@dataclass(frozen=True)
class Linear:
    """`matrix`: float32 [k, width], what a row is multiplied by from the right; None: nothing, rows enter as they are.

    `deviation`: the largest that was found, relative to the longest A row.
    """

    matrix: Floats | None
    deviation: float

    def folded(self, rows: Floats) -> Floats:
        """Return rows, float32 [n, k], as they enter the user vector, float32 [n, width]."""
        if self.matrix is None:
            return rows
        return np.asarray(rows.astype(np.float64) @ self.matrix, dtype=np.float32)


def probe(graph: Graph, spec: FeatureSpec, rows: Floats) -> Linear:
    """Return how the tower lets rows through; `rows`: float32 [n, k], some that it was trained with, n may be 0.

    Raises `UsageError` where that is not linear, or where the tower does not look at the row.
    """
    tower, contexts, width, length = graph.runner(), made_up(spec), rows.shape[1], _length(rows)
    nothing = tower.checked(contexts, np.zeros((len(contexts), width), np.float32))
    matrix = _matrix(tower, contexts, nothing[:1], width, length)
    deviation = max(_deviation(tower, inputs, some, matrix) for inputs, some in _trials(spec, rows, length))
    if not np.abs(matrix).max(initial=0) > ROUNDING:
        raise UsageError(
            f"the tower {graph.what} does not look at id_embedding",
            hint="Give it with --context-encoder, without that input.",
        )
    if not deviation <= TOLERANCE:
        raise UsageError(
            f"the tower {graph.what} does not let the id row through linearly: f(row, context) - f(0, context) is off "
            f"by up to {deviation:.1%} of the row's part, where {TOLERANCE:.1%} is allowed",
            hint=_advice(tower, contexts, width, length),
        )
    same = matrix.shape[0] == matrix.shape[1] and np.abs(matrix - np.eye(width)).max() <= TOLERANCE
    return Linear(None if same else matrix, deviation)


def _matrix(tower: Runner, contexts: Inputs, nothing: Floats, width: int, length: float) -> Floats:
    one = contexts.at(np.zeros(width, np.int64))
    units = np.eye(width, dtype=np.float32) * np.float32(length)
    return np.asarray((tower.vectors(one, units).astype(np.float64) - nothing) / length, dtype=np.float32)


def _trials(spec: FeatureSpec, rows: Floats, length: float) -> Iterator[tuple[Inputs, Floats]]:
    """Yield random rows of several lengths, random rows with every code, and the model's own."""
    dice, width = np.random.default_rng(1), rows.shape[1]

    def random(count: int, size: float) -> Floats:
        return dice.normal(size=(count, width), scale=size / np.sqrt(width)).astype(np.float32)

    for times in LENGTHS:
        yield made_up(spec), random(PROBES, length * times)
    for inputs in every_code(spec):
        yield inputs, random(len(inputs), length)
    if len(rows):
        yield made_up(spec, len(rows)), rows


def _deviation(tower: Runner, contexts: Inputs, rows: Floats, matrix: Floats) -> float:
    """Return how far the tower is from linear on rows, over what rounding explains."""
    nothing = tower.vectors(contexts, np.zeros_like(rows))
    found, wanted = tower.vectors(contexts, rows), rows.astype(np.float64) @ matrix
    off = np.abs(found.astype(np.float64) - nothing - wanted).max(initial=0)
    off -= ROUNDING * max(np.abs(found).max(initial=0), np.abs(nothing).max(initial=0))
    return float(max(off, 0.0) / max(np.abs(wanted).max(initial=0), 1e-30))


def _length(rows: Floats) -> float:
    """Return a usual length of a row, 1 where none is known."""
    return float(np.sqrt(np.sum(rows.astype(np.float64) ** 2) / max(len(rows), 1))) or 1.0


def _advice(tower: Runner, contexts: Inputs, width: int, length: float) -> str:
    dice = np.random.default_rng(2)
    rows = (dice.normal(size=(len(contexts), width)) * length).astype(np.float32)
    lengths = np.linalg.norm(tower.vectors(contexts, rows).astype(np.float64), axis=1)
    if lengths.max() - lengths.min() <= TOLERANCE * lengths.max():
        return (
            f"All its vectors have the length {lengths.mean():.3g}, so it normalises them: export what comes before "
            "that, and let --score cosine do it."
        )
    return (
        "Online rows cannot lift such a model: what a step on a row does depends on the context. Train it with the row "
        "added behind the layers, user vector = row + encoder(context), and give the encoder."
    )
