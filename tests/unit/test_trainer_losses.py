"""The objectives of a full retrain: their numbers on cases small enough to write down, and that each of them learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from contracts.bases import OpenBase
from contracts.events import Rejected, Stage
from contracts.layout import Layout
from contracts.samples import Sample
from tests.support.shards import Log, write_log
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import small_settings, train
from trainer.losses import bpr, listwise, pointwise, triplet_hinge, triplet_logistic
from trainer.training_days import day_chunks, find_day, open_topic

CLICKED = torch.tensor([2.0, 0.0])
NEGATIVES = torch.tensor([[1.0, 3.0, 9.0], [0.0, -1.0, 5.0]])
USABLE = torch.tensor([[True, True, False], [True, True, True]])
OBJECTIVES = ("listwise", "triplet_hinge", "triplet_logistic", "bpr", "pointwise")


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_listwise_is_the_softmax_over_the_clicked_item_and_what_is_left_of_the_negatives() -> None:
    first = math.log(math.exp(2) + math.exp(1) + math.exp(3)) - 2
    second = math.log(1 + 1 + math.exp(-1) + math.exp(5))
    found = listwise(CLICKED, NEGATIVES, torch.zeros(3), ~USABLE)
    assert float(found) == pytest.approx((first + second) / 2, rel=1e-5)


def test_listwise_corrects_each_negative_by_how_often_it_is_expected() -> None:
    corrected = listwise(CLICKED, NEGATIVES + math.log(7), torch.full((3,), math.log(7)), ~USABLE)
    assert float(corrected) == pytest.approx(float(listwise(CLICKED, NEGATIVES, torch.zeros(3), ~USABLE)), rel=1e-5)


def test_the_hinge_counts_what_comes_within_the_margin() -> None:
    found = triplet_hinge(CLICKED, NEGATIVES, USABLE, 1.5)
    assert float(found) == pytest.approx((0.5 + 2.5 + 1.5 + 0.5 + 6.5) / 5)


def test_the_logistic_triplet_is_the_mean_over_all_usable_negatives() -> None:
    wanted = (softplus(-1) + softplus(1) + softplus(0) + softplus(-1) + softplus(5)) / 5
    assert float(triplet_logistic(CLICKED, NEGATIVES, USABLE)) == pytest.approx(wanted, rel=1e-5)


def test_bpr_takes_one_negative_a_click_another_one_for_each() -> None:
    assert float(bpr(CLICKED, NEGATIVES, USABLE)) == pytest.approx((softplus(-1) + softplus(-1)) / 2, rel=1e-5)


def test_pointwise_is_the_cross_entropy_of_clicks_and_so_many_negatives_each() -> None:
    found = pointwise(CLICKED, NEGATIVES, USABLE, 2)
    # the first click takes columns 0 and 1, the second 2 and 0
    wanted = softplus(-2) + softplus(0) + softplus(1) + softplus(3) + softplus(5) + softplus(0)
    assert float(found) == pytest.approx(wanted / 6, rel=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_better_score_of_the_clicked_item_lowers_every_loss(objective: str) -> None:
    losses = {
        "listwise": lambda clicked: listwise(clicked, NEGATIVES, torch.zeros(3), ~USABLE),
        "triplet_hinge": lambda clicked: triplet_hinge(clicked, NEGATIVES, USABLE, 1.0),
        "triplet_logistic": lambda clicked: triplet_logistic(clicked, NEGATIVES, USABLE),
        "bpr": lambda clicked: bpr(clicked, NEGATIVES, USABLE),
        "pointwise": lambda clicked: pointwise(clicked, NEGATIVES, USABLE, 2),
    }
    assert float(losses[objective](CLICKED + 0.5)) < float(losses[objective](CLICKED))


def share_of_own_topic(base: OpenBase, tastes: Tastes) -> float:
    """Of the five best items of each known user, how many are of the topic that she was fond of."""
    rows, vectors = base.learned_rows, base.items.vectors
    found = []
    for user in [user for user in rows if user.endswith(".0")]:
        h = base.common + rows[user].own
        best = np.argsort(-(vectors @ (h / np.linalg.norm(h) / 0.1) + base.items.biases))[:5]
        topic = tastes.topic_of(int(user[1:].partition(".")[0]), 0)
        found += [base.items.ids[at].startswith(f"i{topic}.") for at in best]
    return float(np.mean(found))


@pytest.mark.parametrize(
    "changes",
    [
        *({"objective": objective} for objective in OBJECTIVES),
        {"negatives_from": "uniform"},
        {"negatives_from": "in_batch"},
        {"objective": "triplet_logistic", "negatives_from": "in_batch"},
    ],
    ids=lambda changes: " ".join(changes.values()),
)
def test_every_objective_and_kind_of_negatives_learns_who_likes_what(tmp_path: Path, changes: dict[str, Any]) -> None:
    tastes = Tastes(days=1, clicks_per_day=2000, with_context=False)
    layout = Layout(tmp_path)
    write_tastes(layout, tastes)
    settings = {"batch": 32, "row_step": 2e-2, "dense_step": 5e-3, "min_steps": 200, "id_dropout": 0.1, **changes}
    base = train(layout, settings=small_settings(retrain=settings))
    assert share_of_own_topic(base, tastes) > 4 / tastes.topics


@pytest.mark.parametrize("width", [32, 128])
@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_a_base_of_any_width_and_score_is_trained_exported_and_checked(tmp_path: Path, width: int, score: str) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(days=1))
    base = train(layout, settings=small_settings(towers={"width": width, "score": score}))
    assert base.items.vectors.shape[1] == base.rows.own.shape[1] == width
    assert base.manifest.metrics["onnx_top20_agreement"] >= 0.98


def rejecting(tastes: Tastes, stage: Stage) -> list[Sample]:
    """The first day, every click with two items of the next topic that ranking rejected."""
    found = []
    for sample in tastes.day(0):
        topic = int(sample.item_id[1:].partition(".")[0])
        other = f"i{(topic + 1) % tastes.topics}"
        negatives = (Rejected(f"{other}.0", stage), Rejected(f"{other}.1", stage))
        found.append(msgspec.structs.replace(sample, hard_negatives=negatives))
    return found


def test_what_ranking_rejected_moves_away_from_those_who_were_not_shown_it(tmp_path: Path) -> None:
    tastes = Tastes(days=1, clicks_per_day=2000, with_context=False)
    ranks = {}
    for share in (0.0, 0.5):
        layout = Layout(tmp_path / str(share))
        write_log(layout, Log(), rejecting(tastes, "rank"), MIDNIGHT + DAY_MS)
        settings = {"batch": 64, "row_step": 2e-2, "min_steps": 100, "hard_share": share}
        base = train(layout, settings=small_settings(retrain=settings))
        ranks[share] = float(np.mean([_score_of_rejected(base, tastes, user) for user in range(1, 40, 5)]))
    assert ranks[0.5] < ranks[0.0] - 0.1


def _score_of_rejected(base: OpenBase, tastes: Tastes, user: int) -> float:
    """How much better than the mean item a user's rejected items score (cosine)."""
    h = base.common + base.learned_rows[f"u{user}.0"].own
    scores = base.items.vectors @ (h / np.linalg.norm(h))
    topic = (tastes.topic_of(user, 0) + 1) % tastes.topics
    return float(scores[[base.items.ids.index(f"i{topic}.{n}") for n in (0, 1)]].mean() - scores.mean())


def test_a_day_is_read_with_what_ranking_rejected_and_nothing_else(tmp_path: Path) -> None:
    layout, tastes = Layout(tmp_path), Tastes(days=1)
    write_log(layout, Log(), rejecting(tastes, "pre_rank"), MIDNIGHT + DAY_MS)
    topic = open_topic(layout, "events")
    chunks = day_chunks(topic, find_day(topic, "2025-01-06", "UTC"), lambda done, total: None)
    wanted = [tuple(negative.item_id for negative in sample.hard_negatives) for sample in rejecting(tastes, "pre_rank")]
    assert [rejected for chunk in chunks for rejected in chunk.rejected] == wanted
