"""Synthetic logs whose truth is known, of tastes, of trends and of both: what is there is found, what is not is off."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from trainer.evaluation import results
from trainer.evaluation.arms import FRESH, SWAPS
from trainer.evaluation.commands import evaluate
from trainer.evaluation.results import Comparison, Evaluation


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Evaluation]:
    """A quick evaluation of each regime, by `mix`."""
    found = {}
    for mix in (0.0, 0.5, 1.0):
        root = tmp_path_factory.mktemp("regime")
        assert evaluate(["--root", str(root), "--quick", "--json", str(root / "out.json"), "--mix", str(mix)]) == 0
        found[mix] = results.decode((root / "out.json").read_bytes(), "out.json")
    return found


def compared(found: Evaluation, arm: str, than: str) -> Comparison:
    """The comparison of two arms over active users."""
    (only,) = [c for c in found.comparisons if (c.arm, c.than, c.slice) == (arm, than, "active")]
    return only


def recall(found: Evaluation, arm: str, hours: slice) -> float:
    """The mean of an arm's recall by hour."""
    return float(np.mean([each for each in found.arms[arm].by_hour[hours] if each is not None]))


def test_where_there_are_only_tastes_the_trend_prior_is_off_and_own_rows_beat_their_control_by_a_fifth(
    evaluated: dict[float, Evaluation],
) -> None:
    tastes = evaluated[0.0]
    assert all(seed.online["beta"] == 0 and seed.online["own_step"] > 0 for seed in tastes.seeds)
    personal = compared(tastes, FRESH, SWAPS[FRESH])
    assert personal.relative >= 0.2
    assert personal.low > 0


def test_where_there_are_only_trends_own_rows_are_off_and_the_prior_is_on(evaluated: dict[float, Evaluation]) -> None:
    assert all(seed.online["beta"] > 0 and seed.online["own_step"] == 0 for seed in evaluated[1.0].seeds)


def test_where_there_are_both_the_frozen_base_decays_over_the_day_and_the_fresh_model_does_not(
    evaluated: dict[float, Evaluation],
) -> None:
    both = evaluated[0.5]
    assert recall(both, both.best_frozen, slice(12, 24)) < 0.5 * recall(both, both.best_frozen, slice(0, 2))
    assert recall(both, FRESH, slice(12, 24)) > 0.9 * recall(both, FRESH, slice(0, 12))


def test_the_more_the_log_follows_trends_the_more_a_list_of_the_last_hour_finds(
    evaluated: dict[float, Evaluation],
) -> None:
    found = [evaluated[mix].arms["last_hour"].slices["all"].recall20.mean for mix in (0.0, 0.5, 1.0)]
    assert all(less < more for less, more in pairwise(found))
