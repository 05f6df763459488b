"""Objectives, widths, batch sizes, negatives and steps of the full retrain, one changed at a time.

Online settings are not calibrated, but the same for all: what is compared is the retrain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from trainer.evaluation.arms import BOTH, FRESH, FROZEN_RAW, FROZEN_SHRUNK
from trainer.experiments.bench import Bench
from trainer.experiments.runs import Found, Run, plain

ARMS = (FROZEN_SHRUNK, FROZEN_RAW, BOTH, FRESH)
CHANGES: dict[str, tuple[str, dict[str, object]]] = {
    "as configured": ("retrain", {}),
    "batch 64": ("retrain", {"batch": 64, "min_steps": 1}),
    "pointwise": ("retrain", {"objective": "pointwise"}),
    "bpr": ("retrain", {"objective": "bpr"}),
    "triplet_logistic": ("retrain", {"objective": "triplet_logistic"}),
    "triplet_hinge": ("retrain", {"objective": "triplet_hinge"}),
    "width 16": ("towers", {"width": 16}),
    "width 128": ("towers", {"width": 128}),
    "batch 128": ("retrain", {"batch": 128, "min_steps": 1}),
    "batch 2048": ("retrain", {"batch": 2048, "min_steps": 1}),
    "dense_step 5e-4": ("retrain", {"dense_step": 5e-4}),
    "negatives in_batch": ("retrain", {"negatives_from": "in_batch"}),
    "negatives uniform": ("retrain", {"negatives_from": "uniform"}),
    "width 32": ("towers", {"width": 32}),
    "batch 1024": ("retrain", {"batch": 1024, "min_steps": 1}),
    "dot product": ("towers", {"score": "dot"}),
    "negatives 256": ("retrain", {"negatives": 256}),
}


def runs(bench: Bench) -> Sequence[Run]:
    """Return a run per change."""
    still = bench.told(retrain={"calibrate": False})
    return [
        Run(name, _in_words(table, changed), partial(_made, still.told(**{table: changed})))
        for name, (table, changed) in CHANGES.items()
    ]


def _in_words(table: str, changed: Mapping[str, object]) -> str:
    return ", ".join(f"[{table}] {key} = {value}" for key, value in changed.items()) or "the settings file"


def _made(bench: Bench, seed: int) -> Mapping[str, Found]:
    bases = bench.nights(seed)
    return plain(bench.judged(bench.stage(bases[-1]), bench.choices(bases, ARMS), ARMS, seed))
