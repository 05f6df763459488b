"""Negatives and the listwise loss: logQ, accidental hits, and numbers that depend on a key alone."""

from __future__ import annotations

import numpy as np
import torch

from trainer.losses import listwise
from trainer.negatives import CountSampler, numbers_of

ITEMS = 50


def test_random_numbers_depend_on_name_and_block_alone() -> None:
    first = numbers_of("base/0", 7).random(100)
    numbers_of("base/0", 6).random(1000)
    assert np.array_equal(numbers_of("base/0", 7).random(100), first)
    assert not np.array_equal(numbers_of("base/0", 8).random(100), first)
    assert not np.array_equal(numbers_of("base/1", 7).random(100), first)


def test_items_are_drawn_in_proportion_to_clicks_to_the_power_of_three_quarters() -> None:
    weights = np.array([1.0, 16.0, 81.0])
    drawn = CountSampler(weights).draw(numbers_of("draw", 0), 70_000)
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, np.array([1, 8, 27]) / 36, atol=0.01)


def test_the_corrected_sum_over_drawn_items_estimates_the_sum_over_all() -> None:
    rng = np.random.default_rng(0)
    scores, weights = torch.tensor(rng.normal(size=ITEMS)), rng.uniform(1, 100, ITEMS)
    sampler = CountSampler(weights)
    estimates = []
    for block in range(200):
        drawn = sampler.draw(numbers_of("estimate", block), 256)
        corrected = scores[drawn] - torch.from_numpy(sampler.log_expected(drawn)).double()
        estimates.append(float(torch.exp(corrected).sum()))
    assert abs(np.mean(estimates) / float(torch.exp(scores).sum()) - 1) < 0.02


def test_the_loss_over_every_other_item_once_is_the_softmax_loss_over_all() -> None:
    rng = np.random.default_rng(1)
    scores, targets = torch.tensor(rng.normal(size=(5, ITEMS))), torch.tensor([3, 3, 0, 49, 20])
    clicked = scores.gather(1, targets[:, None])[:, 0]
    hits = torch.arange(ITEMS)[None, :] == targets[:, None]
    found = listwise(clicked, scores, torch.zeros(ITEMS), hits)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(scores, targets))


def test_a_drawn_copy_of_the_clicked_item_changes_nothing() -> None:
    clicked, negatives = torch.tensor([1.0]), torch.tensor([[0.5, -0.5]])
    without = listwise(clicked, negatives, torch.zeros(2), torch.zeros(1, 2, dtype=torch.bool))
    negatives = torch.tensor([[0.5, -0.5, 1.0]])
    assert listwise(clicked, negatives, torch.zeros(3), torch.tensor([[False, False, True]])) == without
