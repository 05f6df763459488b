"""Small bases made by the real full retrain, online runs on them, and what those left."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts import deltas
from contracts.bases import OpenBase
from contracts.layout import Layout
from tests.support.tastes import DAYS
from trainer.lineage import NEWEST
from trainer.online import NEVER, OnlineWorker
from trainer.retrain import Progress, RetrainPlan, retrain
from trainer.settings import TrainerSettings

SMALL: dict[str, dict[str, Any]] = {
    "towers": {"width": 16, "hidden": 16},
    "retrain": {"negatives": 64, "min_item_clicks": 2, "min_feature_count": 2, "calibrate": False},
    "online": {"block_samples": 16},
    "day": {"check": False},
    "night": {},
}


def small_settings(**changes: dict[str, Any]) -> TrainerSettings:
    """Return settings for small logs; `changes` go into their tables."""
    return TrainerSettings.load(**{name: {**SMALL[name], **changes.get(name, {})} for name in SMALL})


def train(
    layout: Layout,
    *days: str,
    parent: str = NEWEST,
    settings: TrainerSettings | None = None,
    progress: Progress = lambda what, done, total: None,
) -> OpenBase:
    """Run a full retrain on `days` (the first day when none is named)."""
    return retrain(layout, RetrainPlan("events", days or DAYS[:1], parent, settings or small_settings()), progress)


def fold(layout: Layout, base: OpenBase, settings: TrainerSettings | None = None, until: int = NEVER) -> int:
    """Run the online update of every partition over all committed shards; return how many samples it folded."""
    folded = 0
    for partition in range(base.manifest.partitions):
        worker = OnlineWorker(layout, base, base.manifest.topic, partition, settings or small_settings())
        folded += worker.advance(until)
        worker.close()
    return folded


@dataclass(frozen=True)
class DeltaContent:
    """What a delta says, without what differs from attempt to attempt (the names of its files)."""

    body: deltas.Delta
    files: tuple[str, ...]


def delta_contents(layout: Layout, base: OpenBase, partition: int = 0) -> list[DeltaContent]:
    """Return the deltas of a partition in order: bodies and the digests of their files."""
    chain = deltas.chain(layout, base.manifest.base_id, partition)
    chain.verify()
    return [DeltaContent(entry.body, tuple(file.sha256 for file in entry.files)) for entry in chain.entries()]


def base_digest(base: OpenBase) -> str:
    """Return a digest of everything in a base but where it lies."""
    return hashlib.sha256(msgspec.json.encode(base.manifest, order="sorted")).hexdigest()
