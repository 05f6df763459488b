"""Models that were not trained here: files as somebody else would write them, and towers in torch to export."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from contracts.arrays import Array, Floats
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from examples.import_implicit import columns
from trainer.importing.features import Features

WIDTH = 16
CONTEXT = FeatureSpec((DiscreteFeature("device", ("phone", "desktop")),), (ContinuousFeature("hour", 12.0, 6.0),))
EXAMPLE = (torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 1))
NAMES = ("codes", "numbers")


def write_vectors(path: Path, ids: list[str], vectors: Array, **more: Array) -> Path:
    """Write an items or users file in safetensors."""
    save_file({**columns(ids, vectors), **{name: np.ascontiguousarray(array) for name, array in more.items()}}, path)
    return path


def write_features(path: Path, content: FeatureSpec = FeatureSpec()) -> Path:  # noqa: B008
    """Write the features of `Encoder`, and of items."""
    path.write_bytes(msgspec.json.encode(Features(CONTEXT, content)))
    return path


@dataclass(frozen=True)
class Foreign:
    """A model on disk; `rows`: float32 [users, WIDTH], `vectors`: float32 [items, WIDTH]."""

    items: Path
    users: Path
    features: Path
    rows: Floats
    vectors: Floats


def write_model(folder: Path, users: list[str], items: list[str], seed: int = 0) -> Foreign:
    """Write a model of random rows and vectors."""
    dice = np.random.default_rng(seed)
    rows = dice.normal(size=(len(users), WIDTH), scale=3).astype(np.float32)
    vectors = dice.normal(size=(len(items), WIDTH), scale=0.2).astype(np.float32)
    return Foreign(
        write_vectors(folder / "items.safetensors", items, vectors),
        write_vectors(folder / "users.safetensors", users, rows),
        write_features(folder / "features.json"),
        rows,
        vectors,
    )


class Encoder(nn.Module):
    """What a device and an hour add to a row."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.device = nn.Embedding(3, 4)
        self.layers = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """Return float32 [n, WIDTH]."""
        found: Tensor = self.layers(torch.cat([self.device(codes[:, 0]), numbers], dim=1))
        return found


class Tower(nn.Module):
    """User towers of several kinds around `Encoder`; what `kind` says becomes of the row."""

    def __init__(self, kind: str, width: int = WIDTH) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.kind, self.encoder = kind, Encoder()
        self.turn = nn.Linear(width, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(2 * WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, id_embedding: Tensor, codes: Tensor, numbers: Tensor) -> Tensor:
        """Return float32 [n, WIDTH]."""
        context: Tensor = self.encoder(codes, numbers)
        if self.kind == "mlp":
            found: Tensor = self.mlp(torch.cat([id_embedding, context], dim=1))
            return found
        if self.kind == "turned":
            turned: Tensor = self.turn(id_embedding)
            return turned + context
        if self.kind == "gated":
            return id_embedding * torch.sigmoid(context) + context
        if self.kind == "normalised":
            return nn.functional.normalize(id_embedding + context, dim=1)
        return context + (0 if self.kind == "ignored" else 1) * id_embedding


def export(tower: nn.Module, path: Path, width: int = 0, external_data: bool = False) -> Path:
    """Export an encoder, or with the `width` of rows a user tower, as docs/import.md says."""
    rows = torch.export.Dim("n")
    inputs = ((torch.zeros(2, width),) if width else ()) + EXAMPLE
    names = (("id_embedding",) if width else ()) + NAMES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower.eval(),
            inputs,
            str(path),
            input_names=list(names),
            dynamic_shapes=tuple({0: rows} for _ in inputs),
            external_data=external_data,
            verbose=False,
        )
    return path
