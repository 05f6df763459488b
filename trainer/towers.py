"""The two towers: user h = id_embedding + MLP(context), item v = w + MLP([w, content]); cosine or dot.

The id embedding enters linearly, so that moving a row moves the user vector one to one. Covington et al. 2016 (RecSys,
"Deep neural networks for YouTube recommendations") and Yi et al. 2019 (RecSys, "Sampling-bias-corrected neural
modeling") are the pattern.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from contracts.arrays import Arrays, Column, Floats, pack
from contracts.bases import Towers
from contracts.features import FeatureSpec

FEATURE_WIDTH = 8
TINY = 1e-12


class FeatureInput(nn.Module):
    """Codes and numbers of a spec side by side: an embedding of `FEATURE_WIDTH` per discrete feature, then numbers."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        sizes = [len(feature.values) + 1 for feature in spec.discrete]
        self.width = len(sizes) * FEATURE_WIDTH + len(spec.continuous)
        self.offsets = np.cumsum([0, *sizes])[: len(sizes)].astype(np.int64)
        self.table = nn.Embedding(sum(sizes), FEATURE_WIDTH)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """codes: int64 [n, F], numbers: float32 [n, C] → float32 [n, width]."""
        embedded = self.table(codes + torch.from_numpy(self.offsets)).flatten(1)
        return torch.cat([embedded, numbers], dim=1)


def _mlp(inputs: int, towers: Towers) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, towers.hidden), nn.ReLU(), nn.Linear(towers.hidden, towers.width))


class NoContext(nn.Module):
    """Stands for the MLP of a user tower without features: the common row already is what it could learn."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.width = towers.width

    def forward(self, features: Tensor) -> Tensor:
        """float32 [n, 0] → zeros [n, d]."""
        return features.new_zeros(len(features), self.width)


class UserTower(nn.Module):
    """id embedding [n, d] and context → user vector [n, d]. With cosine it is z / |z| / temperature."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers
        self.features = FeatureInput(towers.context)
        self.mlp = _mlp(self.features.width, towers) if self.features.width else NoContext(towers)

    def context_vector(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """Return MLP(context), float32 [n, d]."""
        vector: Tensor = self.mlp(self.features(codes, numbers))
        return vector

    def forward(self, id_embedding: Tensor, codes: Tensor, numbers: Tensor) -> Tensor:
        """id_embedding: common row + own row, summed by the caller."""
        return user_vector(id_embedding + self.context_vector(codes, numbers), self.towers)


class ItemTower(nn.Module):
    """id embedding [n, d] and content → item vector [n, d], of length one with cosine."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers
        self.features = FeatureInput(towers.content)
        self.mlp = _mlp(towers.width + self.features.width, towers)

    def forward(self, id_embedding: Tensor, codes: Tensor, numbers: Tensor) -> Tensor:
        """codes: int64 [n, F], numbers: float32 [n, C] of the item's content; both of width 0 without features."""
        content = self.features(codes, numbers)
        z: Tensor = id_embedding + self.mlp(torch.cat([id_embedding, content], dim=1))
        return unit(z) if self.towers.score == "cosine" else z


class TwoTowers(nn.Module):
    """All dense parameters: frozen online."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.user = UserTower(towers)
        self.item = ItemTower(towers)

    def packed(self) -> bytes:
        """Return the parameters as a base's dense file."""
        columns: dict[str, Column] = {name: value.numpy(force=True) for name, value in self.state_dict().items()}
        return pack(columns)


def load(towers: Towers, dense: bytes, what: str) -> TwoTowers:
    """Return the towers with the parameters of a dense file. Raises `Corrupt` where a shape does not fit."""
    model = TwoTowers(towers)
    arrays = Arrays(dense, what)
    state = {name: torch.from_numpy(arrays.floats(name, *value.shape)) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def unit(z: Tensor) -> Tensor:
    """Return z / |z| along the last dimension."""
    scaled: Tensor = z / z.norm(dim=-1, keepdim=True).clamp_min(TINY)
    return scaled


def user_vector(z: Tensor, towers: Towers) -> Tensor:
    """Return what is multiplied with item vectors: z, or with cosine z / |z| / temperature."""
    return unit(z) / towers.temperature if towers.score == "cosine" else z


def queries(z: Floats, towers: Towers) -> Floats:
    """Return `user_vector` of z, float32 [n, d], in numpy."""
    if towers.score == "dot":
        return z
    length = np.maximum(np.sqrt(np.vecdot(z, z)), np.float32(TINY))
    return np.asarray(z / (length * np.float32(towers.temperature))[:, None], dtype=np.float32)
