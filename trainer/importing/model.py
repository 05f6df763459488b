"""What was given on the command line as one checked model: item vectors, user rows and towers in one space."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from contracts.arrays import Floats
from contracts.bases import Towers
from contracts.errors import UsageError
from contracts.features import FeatureSpec
from trainer.importing import graphs
from trainer.importing.features import Features, read_features
from trainer.importing.graphs import PROBES, Graph, made_up, read_graph
from trainer.importing.linearity import Linear, probe
from trainer.importing.tables import HOW, Table, content_of, read_items, read_users, require_direction

AS_IT_IS = Linear(None, 0.0)
UNKNOWN_WIDTH = 1  # of a hidden layer that is not ours; `Towers` wants a number


@dataclass(frozen=True)
class Paths:
    """The files that were named."""

    items: Path
    users: Path | None = None
    features: Path | None = None
    context_encoder: Path | None = None
    user_tower: Path | None = None
    item_tower: Path | None = None

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of each, by field. Raises `MissingInput`, `TooLarge`."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        towers = {"context_encoder", "user_tower", "item_tower"}
        limits = {name: {"most": graphs.MOST_BYTES} if name in towers else {} for name in found}
        return {name: content_of(path, **limits[name]) for name, path in found.items() if path}


@dataclass(frozen=True)
class Model:
    """A foreign model; the user vector is common + own + encoder(context), not yet normalised.

    `items`: of length one for a cosine. `common`: float32 [width]; `own`: float32 [users, width]. `contexts`: float32
    [n, width], what the encoder makes of made-up contexts, zeros without one. `linear`: how a user tower lets rows in.
    """

    items: Table
    users: list[str]
    common: Floats
    own: Floats
    encoder: Graph | None
    content: Graph | None
    features: Features
    contexts: Floats
    linear: Linear

    def towers(self, score: Literal["cosine", "dot"], temperature: float) -> Towers:
        """Return the shape that a base tells of it."""
        context = self.features.context if self.encoder else FeatureSpec()
        content = self.features.content if self.content else FeatureSpec()
        return Towers(self.items.width, UNKNOWN_WIDTH, score, temperature, context, content)


def read_model(paths: Paths, contents: dict[str, bytes], score: str) -> Model:
    """Return the model in the files' bytes. Raises `UsageError` naming a file and what is wrong with it."""
    items = read_items(paths.items, contents["items"])
    if score == "cosine":
        require_direction(items)
        lengths = np.linalg.norm(items.vectors, axis=1, keepdims=True)
        items = replace(items, vectors=np.asarray(items.vectors / lengths, dtype=np.float32))
    features = read_features(paths.features, contents["features"]) if paths.features else Features()
    users = read_users(paths.users, contents["users"]) if paths.users else None
    encoder = content = None
    if paths.context_encoder:
        encoder = read_graph(paths.context_encoder, contents["context_encoder"], features.context, with_id=False)
    if paths.user_tower:
        encoder = read_graph(paths.user_tower, contents["user_tower"], features.context, with_id=True)
        _require_id(encoder)
    if paths.item_tower:
        content = read_graph(paths.item_tower, contents["item_tower"], features.content, with_id=False)
    linear, shift = AS_IT_IS, np.zeros(items.width, np.float32)
    contexts = np.zeros((1, items.width), np.float32)
    if encoder:
        linear, contexts = _encoded(encoder, features, users, items)
        if set(encoder.widths) == {"id_embedding"}:
            encoder, shift, contexts = None, contexts[0], np.zeros_like(contexts)  # its context is a constant
    if content:
        _check_width(content, content.runner().tried(features.content), items)
    common, own = _rows(users, linear, items)
    ids = users.ids if users else []
    return Model(items, ids, common + shift, own, encoder, content, features, contexts, linear)


def _require_id(tower: Graph) -> None:
    if "id_embedding" not in tower.widths:
        raise UsageError(
            f"the tower {tower.what} has no input id_embedding", hint="Give it with --context-encoder instead."
        )


def _encoded(encoder: Graph, features: Features, users: Table | None, items: Table) -> tuple[Linear, Floats]:
    """Return how the tower lets rows in, and what it makes of made-up contexts, float32 [n, width]."""
    if "id_embedding" not in encoder.widths:
        found = encoder.runner().tried(features.context)
        _check_width(encoder, found, items)
        return AS_IT_IS, found
    width = users.width if users else encoder.widths["id_embedding"]
    if not width or encoder.widths["id_embedding"] not in (0, width):
        raise UsageError(
            f"the tower {encoder.what} takes rows of width {encoder.widths['id_embedding'] or 'any'}, and the users' "
            f"have {width or 'none'}",
            hint=f"Give the --users that it was trained with. {HOW}",
        )
    inputs = made_up(features.context)
    found = encoder.runner().vectors(inputs, np.zeros((len(inputs), width), np.float32))
    _check_width(encoder, found, items)
    return probe(encoder, features.context, _some(users, width)), found


def _some(users: Table | None, width: int) -> Floats:
    """Return some rows as they stand in the model, whole ones, the common row first: float32 [n, width]."""
    if users is None or not users.ids:
        return np.zeros((0, width), np.float32)
    own = users.vectors[np.linspace(0, len(users.ids) - 1, PROBES).astype(np.int64)]
    return own if users.common is None else np.concatenate([users.common[None], users.common + own])


def _check_width(graph: Graph, found: Floats, items: Table) -> None:
    if found.shape[1] != items.width:
        raise UsageError(
            f"the tower {graph.what} answers with vectors of width {found.shape[1]}, and the items' have {items.width}",
            hint=HOW,
        )


def _rows(users: Table | None, linear: Linear, items: Table) -> tuple[Floats, Floats]:
    """Return the common row and own rows, as they enter the user vector.

    Without a common row rows are whole: their mean is what somebody unknown gets, and each is an offset from it.
    """
    if users is None:
        return np.zeros(items.width, np.float32), np.zeros((0, items.width), np.float32)
    rows = linear.folded(users.vectors)
    if rows.shape[1] != items.width:
        raise UsageError(
            f"{users.what}: rows of width {rows.shape[1]}, where {items.what} has vectors of width {items.width}",
            hint="A --user-tower may turn one into the other, if it does so linearly.",
        )
    if users.common is not None:
        return linear.folded(users.common[None])[0], rows
    mean = rows.mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(items.width)
    common = np.asarray(mean, dtype=np.float32)
    return common, np.asarray(rows - common, dtype=np.float32)
