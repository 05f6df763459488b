"""What rows-only gives up: every parameter of the base trained online, on each window's clicks in their order."""

from __future__ import annotations

import numpy as np
import torch

from contracts import bases
from contracts.arrays import Floats, Integers
from contracts.bases import OpenBase
from contracts.features import FeatureEncoder
from trainer.epoch import TrainingRows, in_memory
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Asked, Clicks
from trainer.evaluation.rows import Ground
from trainer.full_model import FullModel, StartingRows, item_vectors
from trainer.item_content import of_base
from trainer.settings import FullRetrain
from trainer.towers import load

BATCH = 256


class AllParameters:
    """Adam on towers, items, biases and rows, with the loss of the full retrain; candidates stay those of the base.

    `row_at`: int64 [users], by code, where the base has a user's row, -1 for nowhere.
    """

    def __init__(self, ground: Ground, row_at: Integers, seed: int) -> None:
        base = ground.base
        codes, numbers = FeatureEncoder(base.manifest.towers.context).encode(ground.day.samples.contexts)
        self._codes, self._numbers, self._ground = codes, numbers, ground
        rows = StartingRows(base.common, _own(base, row_at), base.items.embeddings, base.items.biases)
        self._content = of_base(base)
        towers = load(base.manifest.towers, base.file(bases.DENSE), bases.DENSE)
        self._model = FullModel(towers, rows, self._content, FullRetrain(batch=BATCH, min_steps=1, seed=seed))
        self._name, self._seed = f"{base.digest} online", seed
        self._window, self._turned = 0, self._items()

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        model = self._model
        users, at = torch.from_numpy(asked.users), asked.at
        with torch.no_grad():
            id_embedding = model.common + model.own(users)
            context = torch.from_numpy(self._codes[at]), torch.from_numpy(self._numbers[at])
            found = model.towers.user(id_embedding, *context) @ self._turned + model.biases.weight[:, 0]
        return np.asarray(found.numpy(), dtype=np.float32)

    def learn(self, clicks: Clicks) -> None:
        """Train on the window's clicks on candidates."""
        known = np.flatnonzero(clicks.items != NOT_A_CANDIDATE)
        at = clicks.first + known
        nothing = np.full((len(known), 1), NOT_A_CANDIDATE, dtype=np.int64)
        rows = TrainingRows(clicks.users[known], clicks.items[known], self._codes[at], self._numbers[at], nothing)
        if len(rows):
            name = f"{self._name} {self._window}"
            epoch = in_memory(name, rows, self._model.items.num_embeddings, self._seed)
            self._model.train(epoch, lambda done, total: None)
        self._window, self._turned = self._window + 1, self._items()

    def _items(self) -> torch.Tensor:
        embeddings = self._model.items.weight.numpy(force=True)
        return torch.from_numpy(item_vectors(self._model.towers, embeddings, self._content).T)


def _own(base: OpenBase, row_at: Integers) -> Floats:
    """Return the base's own rows by user code, float32 [users, d]; zeros for users without one."""
    found = np.zeros((len(row_at), base.manifest.towers.width), np.float32)
    known = np.flatnonzero(row_at >= 0)
    found[known] = base.learned_own[row_at[known]]
    return found
