"""Which user tower answers: INT8 only where it finds what fp32 finds, measured on the base's own users and items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts import item_space
from contracts.arrays import Floats
from contracts.bases import USER_TOWER_INT8, OpenBase
from contracts.events import Context
from serving.catalogue import Catalogue
from serving.exact_search import ExactSearch
from serving.user_tower import Precision, UserTower

MOST_LOSS = 0.01
TOP = 20
USERS = 512


@dataclass(frozen=True)
class ChosenTower:
    """The tower that answers; `why` says it in words, with the measured loss where INT8 was asked for."""

    tower: UserTower
    why: str


def choose(base: OpenBase, catalogue: Catalogue, wanted: Precision, threads: int) -> ChosenTower:
    """Return the tower that is wanted, fp32 in the place of an INT8 one that loses `MOST_LOSS` of recall or more."""
    full = UserTower(base, threads)
    if wanted == "fp32":
        return ChosenTower(full, "fp32")
    if not base.has(USER_TOWER_INT8):
        return ChosenTower(full, "fp32, for the base has no INT8 tower")
    small = UserTower(base, threads, "int8")
    loss = recall_loss(base, catalogue, full, small)
    said = f"INT8 loses {loss:.2%} of fp32's recall@{TOP}"
    if loss >= MOST_LOSS:
        return ChosenTower(full, f"fp32, for {said} (limit: below {MOST_LOSS:.0%})")
    return ChosenTower(small, f"int8: {said}")


def recall_loss(base: OpenBase, catalogue: Catalogue, full: UserTower, other: UserTower) -> float:
    """Return which share of the top items by `full` is not in the top by `other`, over up to `USERS` of the base.

    Contexts vary: each known value of a discrete feature in turn, numbers spread over two deviations to each side.
    """
    count = min(USERS, len(base.rows))
    at = np.linspace(0, len(base.rows) - 1, count).astype(np.int64) if count else np.zeros(0, np.int64)
    embeddings = np.vstack([base.common[np.newaxis], base.common + base.rows.own[at]]).astype(np.float32)
    contexts = [_context(base, number) for number in range(len(embeddings))]
    ours, theirs = (_top(base, catalogue, tower.vectors(embeddings, contexts)) for tower in (full, other))
    kept = [len(np.intersect1d(one, two)) / max(len(one), 1) for one, two in zip(ours, theirs, strict=True)]
    return float(1 - np.mean(kept)) if catalogue.ids else 0.0


def _top(base: OpenBase, catalogue: Catalogue, vectors: Floats) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    queries = item_space.queries(vectors, base.manifest.towers)
    return list(ExactSearch(catalogue).search(queries, TOP).rows)


def _context(base: OpenBase, number: int) -> Context:
    spec = base.manifest.towers.context
    spread = (-2.0, -1.0, 0.0, 1.0, 2.0)[number % 5]
    return Context(
        {f.name: f.values[(number + n) % len(f.values)] for n, f in enumerate(spec.discrete) if f.values},
        {f.name: f.mean + spread * f.deviation for f in spec.continuous},
    )
