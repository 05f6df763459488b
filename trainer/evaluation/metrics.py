"""Figures of one arm on one slice, from the ranks of its clicks, and the interval of a difference of two arms.

Recall at k over known items: of the clicks on candidates, the share whose item was among the first k. Recall over all
clicks: the same over every click, those on items that no arm can recommend being misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.arrays import Doubles, Flags, Floats, Integers
from trainer.evaluation.judge import NOT_SCORED, Judged

RESAMPLES = 1000


class Figures(msgspec.Struct, frozen=True):
    """`clicks`, of them `known` on candidates; recalls, MRR and AUC over known ones, `recall20_all` over all clicks;
    `tail`: share of items outside the top fifth in the first 20 answers. NaN never: 0 where there is nothing."""

    clicks: int
    known: int
    recall20: float
    recall100: float
    recall20_all: float
    mrr: float
    auc: float
    tail: float


class Interval(NamedTuple):
    """A difference, and the bounds that 95 % of the resamples lie between."""

    difference: float
    low: float
    high: float


def figures(judged: Judged, inside: Flags) -> Figures:
    """Return the figures over the clicks `inside`, bool [n]."""
    known = inside & (judged.ranks != NOT_SCORED)
    ranks = judged.ranks[known].astype(np.float64)
    looked = judged.tails[known]
    looked = looked[~np.isnan(looked)]
    clicks = int(np.count_nonzero(inside))
    return Figures(
        clicks=clicks,
        known=len(ranks),
        recall20=_mean(ranks < 20),
        recall100=_mean(ranks < 100),
        recall20_all=float(np.count_nonzero(ranks < 20)) / clicks if clicks else 0.0,
        mrr=_mean(np.where(ranks < np.iinfo(np.int32).max, 1 / (ranks + 1), 0.0)),
        auc=_mean(judged.auc[known]),
        tail=_mean(looked),
    )


def hits(judged: Sequence[Judged], k: int) -> Doubles:
    """Return the share of seeds in which each click was among the first k, float64 [n]."""
    found = [(each.ranks >= 0) & (each.ranks < k) for each in judged]
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def interval(better: Doubles, worse: Doubles, users: Integers, inside: Flags, seed: int = 1) -> Interval:
    """Return the difference of two means over the clicks `inside`, and its interval by resampling users.

    Clicks of one user are not independent, so users are drawn, with replacement, each with all her clicks (the cluster
    bootstrap; Field and Welsh 2007, "Bootstrapping clustered data"). `inside` should hold known clicks only.
    """
    whose, at = np.unique(users[inside], return_inverse=True)
    if not len(whose):
        return Interval(0.0, 0.0, 0.0)
    difference = np.bincount(at, weights=(better - worse)[inside])
    clicks = np.bincount(at).astype(np.float64)
    dice = np.random.default_rng(seed)
    found = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        times = np.bincount(dice.integers(len(whose), size=len(whose)), minlength=len(whose))
        found[number] = (times @ difference) / (times @ clicks)
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(float(difference.sum() / clicks.sum()), float(low), float(high))


def standard_error(better: Doubles, worse: Doubles, users: Integers, inside: Flags) -> tuple[float, float]:
    """Return the difference of two means over the clicks `inside` and its standard error, users being independent."""
    _, at = np.unique(users[inside], return_inverse=True)
    total = int(np.count_nonzero(inside))
    if not total:
        return 0.0, 0.0
    differences = (better - worse)[inside]
    mean = float(differences.mean())
    by_user = np.bincount(at, weights=differences - mean)
    return mean, float(np.sqrt(np.square(by_user).sum())) / total


def capture_ratio(rows_only: float, frozen: float, all_parameters: float) -> float:
    """Return what share of the gain of training everything online the rows capture; 0 where there is no gain."""
    gain = all_parameters - frozen
    return (rows_only - frozen) / gain if gain > 0 else 0.0


def _mean(values: Floats | Doubles | npt.NDArray[np.bool_]) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else 0.0
