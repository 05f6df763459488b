"""Each baseline on a case whose right answer is seen by eye."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.arrays import Floats
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Arm, Asked, Clicks, History
from trainer.evaluation.ials import FoldedInALS, FrozenALS, fitted
from trainer.evaluation.ncf import NeuralCF
from trainer.evaluation.neighbours import ItemNeighbours, UserNeighbours
from trainer.evaluation.popularity import HOUR_MS, LastHourPopularity, MixedWithPopularity, YesterdaysPopularity
from trainer.evaluation.session_mean import SessionMean

NOON = 1_736_164_800_000
TEAS, COFFEES = (0, 1, 2, 3), (4, 5, 6, 7)
NEWCOMER, LARGE_NEWCOMER = 40, 400  # users whom the histories do not hold


def clicks(*pairs: tuple[int, int], at: int = NOON) -> Clicks:
    """Clicks of (user, item), all at one time."""
    users, items = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    return Clicks(0, users, items, np.full(len(pairs), at, dtype=np.int64))


def two_camps() -> History:
    """Users 0 to 19 drink three teas each, users 20 to 39 three coffees each; one day."""
    pairs = [(user, (TEAS if user < 20 else COFFEES)[(user + step) % 4]) for user in range(40) for step in range(3)]
    return History((clicks(*pairs, at=NOON - 86_400_000),), users=41, candidates=8)


def large_camps() -> History:
    """200 users click 30 of the first 100 items each, 200 others 30 of the second 100."""
    dice = np.random.default_rng(5)
    chosen = [(user, dice.choice(100, 30, replace=False) + 100 * (user >= 200)) for user in range(400)]
    pairs = [(user, int(item)) for user, items in chosen for item in items]
    return History((clicks(*pairs),), users=401, candidates=200)


def camp_share(found: Floats, first_camp: bool) -> float:
    """Which share of the first 50 are of the camp."""
    inside = [(item < 100) == first_camp for item in first(found, 50)]
    return sum(inside) / len(inside)


def scores(arm: Arm, user: int, now: int = NOON) -> Floats:
    """What an arm answers one user."""
    return np.asarray(arm.scores(Asked(np.array([user]), np.array([0]), now))[0])


def first(found: Floats, count: int) -> set[int]:
    """The first items."""
    return set(np.argsort(-found, kind="stable")[:count].tolist())


def test_yesterdays_popularity_counts_the_last_day_of_the_history_and_never_learns() -> None:
    history = History((clicks((0, 1), (1, 1), (2, 1)), clicks((0, 2), (1, 2), (2, 0), (3, NOT_A_CANDIDATE))), 4, 3)
    arm = YesterdaysPopularity(history)
    arm.learn(clicks((0, 1), (1, 1)))
    assert scores(arm, 0).tolist() == scores(arm, 3).tolist() == [1, 0, 2]


def test_the_last_hour_counts_clicks_of_the_hour_before_the_window_and_no_others() -> None:
    arm = LastHourPopularity(History((clicks((0, 0), at=NOON - HOUR_MS // 2),), 2, 3))
    assert scores(arm, 1).tolist() == [1, 0, 0]
    arm.learn(clicks((0, 2), (1, 2), at=NOON + 1))
    assert scores(arm, 1, NOON + 2).tolist() == [1, 0, 2]
    assert scores(arm, 1, NOON + HOUR_MS // 2 + 1).tolist() == [0, 0, 2]
    assert scores(arm, 1, NOON + HOUR_MS + 2).tolist() == [0, 0, 0]


def test_the_session_mean_asks_for_items_like_those_of_today() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32)
    arm = SessionMean(History((clicks((0, 2), (1, 2)),), 2, 4), vectors)
    assert first(scores(arm, 0), 2) == {2, 3}  # nothing today: what everybody clicked yesterday
    arm.learn(clicks((0, 0), (0, 1)))
    assert first(scores(arm, 0), 2) == {0, 1}
    assert first(scores(arm, 1), 2) == {2, 3}


@pytest.mark.parametrize("kind", [ItemNeighbours, UserNeighbours])
def test_neighbours_offer_a_tea_drinker_the_other_teas(kind: type[ItemNeighbours | UserNeighbours]) -> None:
    arm = kind(two_camps())
    assert not scores(arm, NEWCOMER).any()
    arm.learn(clicks((NEWCOMER, TEAS[0])))
    found = scores(arm, NEWCOMER)
    assert first(found, 4) >= set(TEAS[1:])
    assert not found[list(COFFEES)].any()


def test_frozen_factors_offer_users_of_the_history_what_their_camp_drinks_and_newcomers_nothing() -> None:
    history = large_camps()
    arm = FrozenALS(history, fitted(history, 1))
    assert camp_share(scores(arm, 0), first_camp=True) > 0.95
    assert camp_share(scores(arm, 399), first_camp=False) > 0.95
    arm.learn(clicks((LARGE_NEWCOMER, 0)))
    assert not scores(arm, LARGE_NEWCOMER).any()


def test_folded_in_factors_learn_a_newcomers_camp_from_a_few_clicks() -> None:
    history = large_camps()
    arm = FoldedInALS(history, fitted(history, 1))
    arm.learn(clicks(*((LARGE_NEWCOMER, item) for item in (150, 160, 170))))
    assert camp_share(scores(arm, LARGE_NEWCOMER), first_camp=False) > 0.9
    assert camp_share(scores(arm, 0), first_camp=True) > 0.95


def test_neural_filtering_puts_what_everybody_clicks_before_what_nobody_does() -> None:
    everybody = [(user, item) for user in range(400) for item in (1, 2) for _ in range(100)]
    arm = NeuralCF(History((clicks(*everybody),), users=400, candidates=6), seed=1)
    assert first(scores(arm, 3), 2) == {1, 2}


def test_a_mixture_is_the_arm_alone_with_weight_0_and_popularity_with_a_large_one() -> None:
    history = two_camps()
    popular = History((clicks(*((user, COFFEES[0]) for user in range(9))),), 41, 8)
    arm = FrozenALS(history, fitted(history, 1))
    assert scores(MixedWithPopularity(arm, popular, 0.0), 0) == pytest.approx(scores(arm, 0))
    assert first(scores(MixedWithPopularity(arm, popular, 100.0), 0), 1) == {COFFEES[0]}
