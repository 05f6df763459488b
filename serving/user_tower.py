"""The user tower of a base in ONNX Runtime: id embeddings and contexts become user vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnxruntime

from contracts.arrays import Floats
from contracts.bases import USER_TOWER, USER_TOWER_INT8, OpenBase
from contracts.errors import Corrupt
from contracts.events import Context
from contracts.features import FeatureEncoder

Precision = Literal["fp32", "int8"]

OUTPUT = "user_vector"
FILES: dict[Precision, str] = {"fp32": USER_TOWER, "int8": USER_TOWER_INT8}


class UserTower:
    """Inputs: `id_embedding` float32 [n, width], `codes` int64 [n, discrete], `numbers` float32 [n, continuous].

    A tower without discrete (continuous) features lacks that input. Output: `user_vector` float32 [n, width], the
    cosine's temperature already applied, so that its inner product with an item vector is the score.
    """

    def __init__(self, base: OpenBase, threads: int = 1, precision: Precision = "fp32") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._what = f"the user tower ({precision}) of base {base.manifest.base_id}"
        self.precision = precision
        self.width = base.manifest.towers.width
        self._encoder = FeatureEncoder(base.manifest.towers.context)
        data = base.file(FILES[precision])
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
            raise Corrupt(self._what, f"its graph ({str(error).splitlines()[0]})") from None
        self._inputs = {given.name for given in self._session.get_inputs()}
        if not self._inputs <= {"id_embedding", "codes", "numbers"}:
            raise Corrupt(self._what, f"its inputs {sorted(self._inputs)}")

    def vectors(self, id_embeddings: Floats, contexts: Sequence[Context]) -> Floats:
        """Return user vectors, float32 [n, width], for id embeddings float32 [n, width] and as many contexts.

        Features that the tower was not trained with are ignored, unknown values count as unknown, missing numbers as
        the mean. Raises `Corrupt` when the tower's answer has another shape.
        """
        codes, numbers = self._encoder.encode(contexts)
        fed = {"id_embedding": id_embeddings, "codes": codes, "numbers": numbers}
        (found,) = self._session.run([OUTPUT], {name: fed[name] for name in self._inputs})
        vectors = np.asarray(found, dtype=np.float32)
        if vectors.shape != (len(contexts), self.width):
            raise Corrupt(self._what, f"its output of shape {vectors.shape}")
        return vectors
