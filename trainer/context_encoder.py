"""What a base adds to a row for the context: the frozen layers of our own tower, or a foreign encoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from contracts import bases
from contracts.arrays import Floats, Integers
from contracts.bases import CONTEXT_ENCODER, IMPORT, OpenBase
from contracts.errors import Corrupt
from trainer.export import session
from trainer.towers import UserTower, load


class ContextEncoder(Protocol):
    """The context's part of a user vector before normalisation; frozen, so the same context gives the same bits."""

    def vectors(self, codes: Integers, numbers: Floats) -> Floats:
        """Return float32 [n, d] for encoded contexts (`contracts.features`): int64 [n, F], float32 [n, C]."""
        ...


def context_encoder(base: OpenBase) -> ContextEncoder:
    """Return the encoder of a base. Raises `Corrupt`."""
    towers = base.manifest.towers
    if base.has(CONTEXT_ENCODER):
        return GivenEncoder(base)
    if base.has(IMPORT):
        return ContextTower(UserTower(towers))  # of a model without context
    return ContextTower(load(towers, base.file(bases.DENSE), bases.DENSE).user)


class ContextTower:
    """MLP(context) of a frozen user tower, in numpy; zeros for a tower without features."""

    def __init__(self, tower: UserTower) -> None:
        self._width = tower.towers.width
        weights = {name: value.numpy(force=True) for name, value in tower.state_dict().items()}
        self._offsets, self._table = tower.features.offsets, weights["features.table.weight"]
        self._layers = [(weights[f"mlp.{at}.weight"].T, weights[f"mlp.{at}.bias"]) for at in (0, 2) if len(weights) > 1]

    def vectors(self, codes: Integers, numbers: Floats) -> Floats:
        """Return float32 [n, d]."""
        if not self._layers:
            return np.zeros((len(codes), self._width), np.float32)
        embedded = self._table[codes + self._offsets].reshape(len(codes), -1)
        (first, first_bias), (second, second_bias) = self._layers
        hidden = np.maximum(np.concatenate([embedded, numbers], axis=1) @ first + first_bias, np.float32(0))
        return np.asarray(hidden @ second + second_bias, dtype=np.float32)


class GivenEncoder:
    """The encoder of an imported model, in ONNX Runtime on one thread."""

    def __init__(self, base: OpenBase) -> None:
        self._what = f"{CONTEXT_ENCODER} of base {base.manifest.base_id}"
        self._width = base.manifest.towers.width
        try:
            self._session = session(base.file(CONTEXT_ENCODER))
        except Corrupt:
            raise
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
            raise Corrupt(self._what, f"its graph ({str(error).splitlines()[0]})") from None
        self._inputs = [each.name for each in self._session.get_inputs()]

    def vectors(self, codes: Integers, numbers: Floats) -> Floats:
        """Return float32 [n, d]. Raises `Corrupt` when the encoder's answer has another shape."""
        fed = {"codes": codes, "numbers": numbers}
        (found,) = self._session.run(None, {name: fed[name] for name in self._inputs})
        if found.shape != (len(codes), self._width):
            raise Corrupt(self._what, f"its output of shape {found.shape}")
        return np.asarray(found, dtype=np.float32)
