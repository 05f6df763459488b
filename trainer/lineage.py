"""Which full base a retrain starts from, and what it must be for no sample to be trained twice or left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts import rebases
from contracts.arrays import Arrays, pack
from contracts.bases import IMPORT, Base, BaseStore, OpenBase
from contracts.days import bounds
from contracts.errors import UsageError
from contracts.layout import Layout
from trainer.settings import TowerShape
from trainer.training_days import Day, Topic

NEWEST, FROM_SCRATCH = "newest", ""
ITEM_COUNTS = "item_counts.safetensors"


def choose_parent(layout: Layout, topic: Topic, wanted: str, first_day: str, zone: str) -> OpenBase | None:
    """Return the base to start from, None for from scratch; `newest` takes, of those that end before
    `first_day` and were not refused, the one that reaches furthest.

    Imported ones have no lineage. Raises `MissingInput` for an unknown id, `UsageError` for one of those, for a base of
    another log or one that has seen that day.
    """
    if wanted == FROM_SCRATCH:
        return None
    start, _ = bounds(first_day, zone)
    if wanted == NEWEST:
        trained = (base for base in reversed(rebases.not_refused(layout, topic.name)) if not base.has(IMPORT))
        return next((base for base in trained if _is_before(base.manifest, topic, start)), None)
    parent = BaseStore(layout).open(wanted)
    require_trained_here(parent)
    if not _is_before(parent.manifest, topic, start):
        raise UsageError(
            f"base {wanted} cannot be the parent of {first_day}: it has seen that day, or is of another log",
            hint="No sample is trained twice in one lineage: name an older base, or give --from-scratch.",
        )
    return parent


def require_trained_here(base: OpenBase) -> None:
    """Refuse an imported base: it has no lineage. Raises `UsageError`."""
    if base.has(IMPORT):
        raise UsageError(
            f"base {base.manifest.base_id} was imported: how to train it further only its owner knows",
            hint="Retrain it where it was trained, and import it anew: freshet trainer import.",
        )


def check_contiguous(parent: OpenBase | None, days: Sequence[Day]) -> None:
    """Refuse days that leave out samples after the parent's cut or between them. Raises `UsageError`."""
    reached = parent.manifest.cut if parent else days[0].first
    before = parent.manifest.base_id if parent else ""
    for day in days:
        if day.first != reached:
            raise UsageError(
                f"between {before} and day {day.name} lie samples that no day of these holds",
                hint="Name every day, in order, since the parent's last one, or without a parent since the first.",
            )
        reached, before = day.next, day.name


def check_shape(parent: OpenBase, shape: TowerShape) -> None:
    """Refuse to warm-start towers of one shape from those of another. Raises `UsageError`."""
    towers = parent.manifest.towers
    have = TowerShape(width=towers.width, hidden=towers.hidden, score=towers.score, temperature=towers.temperature)
    if have != shape:
        raise UsageError(
            f"base {parent.manifest.base_id} has towers of another shape ({have!r}) than the settings ({shape!r})",
            hint="Change [towers] in trainer.toml back, or start a new lineage with --from-scratch.",
        )


def item_counts(parent: OpenBase) -> dict[str, float]:
    """Return the training clicks of every item of the lineage, those without a vector among them."""
    arrays = Arrays(parent.file(ITEM_COUNTS), ITEM_COUNTS)
    items = arrays.texts("items")
    return dict(zip(items, arrays.doubles("clicks", len(items)).tolist(), strict=True))


def pack_item_counts(counts: dict[str, float]) -> bytes:
    """Return the file that `item_counts` reads."""
    items = sorted(counts)
    return pack({"items": items, "clicks": np.array([counts[item] for item in items], dtype=np.float64)})


def _is_before(base: Base, topic: Topic, start: int) -> bool:
    same = (base.topic, base.topic_id, base.partitions) == (topic.name, topic.topic_id, len(topic.chains))
    return same and base.cut_watermark <= start
