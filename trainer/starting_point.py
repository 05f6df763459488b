"""Where a full retrain starts: the ids it knows, and their parameters, from the parent or from scratch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from contracts import bases
from contracts.bases import OpenBase, Towers
from contracts.catalogue import Catalogue
from contracts.errors import UsageError
from trainer.day_scan import Scan
from trainer.full_model import StartingRows
from trainer.item_content import Content, choose_content, content_of
from trainer.negatives import numbers_of
from trainer.settings import TrainerSettings
from trainer.towers import TwoTowers, load
from trainer.vocabulary import choose_features, choose_items

ITEM_SPREAD = 0.125


@dataclass(frozen=True)
class Known:
    """Ids in the order of the tables (the parent's first), clicks per item of the lineage, shape of the towers, and
    what the items are about."""

    users: list[str]
    items: list[str]
    item_counts: dict[str, float]
    towers: Towers
    content: Content


def know(scan: Scan, parent: OpenBase | None, settings: TrainerSettings, catalogue: Catalogue | None = None) -> Known:
    """Return what the new base will know. A warm start keeps the parent's features: its towers were made for them.

    Raises `UsageError` when no item has enough clicks.
    """
    counts = scan.item_counts()
    items = choose_items(counts, parent.items.ids if parent else [], settings.retrain.min_item_clicks)
    if not items:
        raise UsageError(
            f"no item has {settings.retrain.min_item_clicks} clicks in these days",
            hint="Train on more days, or lower [retrain] min_item_clicks in trainer.toml.",
        )
    shape = settings.towers
    if parent:
        context, content = parent.manifest.towers.context, parent.manifest.towers.content
    else:
        context = choose_features(scan.contexts, scan.features, settings.retrain)
        content = choose_content(catalogue, settings.retrain)
    towers = Towers(shape.width, shape.hidden, shape.score, shape.temperature, context, content)
    return Known(scan.users.texts(), items, counts, towers, content_of(items, content, catalogue, parent))


def starting_towers(known: Known, parent: OpenBase | None, seed: int) -> TwoTowers:
    """Return the parent's dense parameters, or new ones by `seed`."""
    if parent:
        return load(known.towers, parent.file(bases.DENSE), bases.DENSE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TwoTowers(known.towers)


def starting_rows(known: Known, parent: OpenBase | None, seed: int) -> StartingRows:
    """Return the parent's rows; a new user starts at the common row, a new item at a small random one."""
    width = known.towers.width
    numbers = numbers_of(f"items {seed} {parent.digest if parent else ''}", 0)
    own = np.zeros((len(known.users), width), np.float32)
    items = (numbers.standard_normal((len(known.items), width)) * ITEM_SPREAD).astype(np.float32)
    biases = np.zeros(len(known.items), np.float32)
    if parent is None:
        return StartingRows(np.zeros(width, np.float32), own, items, biases)
    own[: len(parent.rows)] = parent.learned_own
    items[: len(parent.items.ids)] = parent.items.embeddings
    biases[: len(parent.items.ids)] = parent.items.biases
    return StartingRows(parent.common, own, items, biases)
