"""The files of a base that is made of a foreign model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts import bases
from contracts.arrays import Floats, pack
from contracts.bases import Items, Towers
from contracts.errors import FreshetError
from contracts.reference import REFERENCE, pack_reference
from trainer import lineage
from trainer.day_scan import Scan
from trainer.export import run
from trainer.importing import compose
from trainer.importing.graphs import made_up
from trainer.importing.model import Model
from trainer.importing.scale import Scale, scale_of
from trainer.towers import queries

CHECKED_ROWS = 256
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Scaled:
    """A model beside its scale: `common` float32 [width] and `own` float32 [users, width] of the base to be."""

    model: Model
    towers: Towers
    scale: Scale
    common: Floats
    own: Floats


def scaled(model: Model, towers: Towers) -> Scaled:
    """Return the model in the lengths of a base; the temperature of `towers` is in them for a dot product."""
    everybody = np.vstack([model.own, np.zeros((1, towers.width), np.float32)])
    everybody += model.common + model.contexts[np.arange(len(everybody)) % len(model.contexts)]
    scale = scale_of(towers.score, towers.temperature, model.items.vectors, everybody)
    users = np.float32(scale.users)
    return Scaled(model, towers, scale, model.common * users, model.own * users)


def files_of(found: Scaled, scan: Scan) -> dict[str, bytes]:
    """Return the files, without `import.json`; `scan`: the days until the cut, its first users being the model's.

    Raises `FreshetError` where the towers put together are not what the model computes.
    """
    towers = found.towers
    own = np.zeros((len(scan.users), towers.width), np.float32)
    own[: len(found.own)] = found.own
    table, trend = scan.state.table(own), scan.trend.counts()
    return {
        **_towers(found),
        bases.USERS: bases.pack_user_table(found.common, table),
        REFERENCE: pack_reference(found.common, table),
        bases.ITEMS: bases.pack_items(_items(found)),
        bases.TREND: pack({"items": list(trend), "counts": np.array(list(trend.values()), dtype=np.float64)}),
        lineage.ITEM_COUNTS: lineage.pack_item_counts(scan.item_counts()),
    }


def _items(found: Scaled) -> Items:
    items = found.model.items
    vectors = items.vectors * np.float32(found.scale.items)
    biases = np.zeros(len(items.ids), np.float32) if items.biases is None else items.biases
    return Items(items.ids, vectors, vectors, biases * np.float32(found.scale.biases))


def _towers(found: Scaled) -> dict[str, bytes]:
    model, towers, scale = found.model, found.towers, found.scale
    encoder = compose.context_encoder(model.encoder, towers, scale.users) if model.encoder else None
    made = {bases.USER_TOWER: compose.user_tower(encoder, towers)}
    if encoder:
        made[bases.CONTEXT_ENCODER] = compose.packed(encoder)
    if model.content:
        made[bases.ITEM_TOWER] = compose.item_tower(model.content, towers, scale.items)
    _check(found, made)
    return made


def _check(found: Scaled, made: dict[str, bytes]) -> None:
    rows = found.common + np.vstack([found.own[:CHECKED_ROWS], np.zeros((1, found.towers.width), np.float32)])
    inputs = made_up(found.towers.context, len(rows))
    contexts = np.zeros_like(rows)
    if found.model.encoder:
        zeros = np.zeros((len(rows), found.model.encoder.widths.get("id_embedding", 0)), np.float32)
        contexts = found.model.encoder.runner().vectors(inputs, zeros) * np.float32(found.scale.users)
    wanted = queries(rows + contexts, found.towers)
    answered = run(made[bases.USER_TOWER], rows, inputs.codes, inputs.numbers)
    apart = float(np.max(np.abs(answered - wanted) / (1 + np.abs(wanted)), initial=0.0))
    if not apart <= TOLERANCE:
        raise FreshetError(
            f"the user tower of the base differs from the model's by {apart:.2e}, more than {TOLERANCE:.0e}",
            hint="Versions of onnx and onnxruntime that do not fit together; the base was not written.",
        )
