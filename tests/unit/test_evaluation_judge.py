"""How arms are asked, ranked and masked, on cases that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.arrays import Floats
from trainer.evaluation.clicks import Asked, Clicks
from trainer.evaluation.judge import MISSED, NOT_SCORED, JudgedDay, judge_one, judged_day
from trainer.evaluation.metrics import figures, hits, interval, standard_error
from trainer.evaluation.slices import active_clicks, popular_tail, slices, window_numbers

WINDOW = 100
TAIL = np.array([False, False, True, True])


def day(users: list[int], items: list[int], times: list[int], rings: list[list[int]] | None = None) -> JudgedDay:
    """A day of windows of 100 ms over four candidates."""
    clicks = Clicks(0, *(np.array(column, dtype=np.int64) for column in (users, items, times)))
    return judged_day(clicks, clicks.times, (0, 300, WINDOW), rings or [[] for _ in range(max(users) + 1)], TAIL)


class Fixed:
    """Scores every request alike and notes what it is asked and told, in order."""

    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, dtype=np.float32)
        self.calls: list[tuple[str, list[int]]] = []

    def scores(self, asked: Asked) -> Floats:
        self.calls.append(("asked", asked.at.tolist()))
        return np.broadcast_to(self._scores, (len(asked.users), len(self._scores)))

    def learn(self, clicks: Clicks) -> None:
        self.calls.append(("learn", list(range(clicks.first, clicks.first + len(clicks)))))


def test_a_window_is_scored_before_it_is_learned_and_windows_come_in_order() -> None:
    arm = Fixed(4, 3, 2, 1)
    judge_one(arm, day([0, 1, 0], [0, 1, 2], [10, 20, 110]))
    told = [call for call in arm.calls if call[1]]
    assert told == [("asked", [0, 1]), ("learn", [0, 1]), ("asked", [2]), ("learn", [2])]


def test_ranks_count_who_is_ahead_and_equal_scores_count_against_the_arm() -> None:
    judged = judge_one(Fixed(4, 2, 2, 1), day([0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 4]))
    assert judged.ranks.tolist() == [0, 2, 2, 3]


def test_what_the_ring_held_at_the_windows_start_is_out_of_the_race_and_a_click_on_it_a_miss() -> None:
    judged = judge_one(Fixed(4, 3, 2, 1), day([0, 0, 0, 0], [1, 1, 2, 1], [10, 20, 110, 120], [[0]]))
    # 0 was clicked yesterday; the second click on 1 lies in the same window as the first, the third does not
    assert judged.ranks.tolist() == [0, 0, 0, MISSED]


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_score_that_is_no_number_is_a_miss_and_stands_in_nobodys_way(bad: float) -> None:
    judged = judge_one(Fixed(bad, 3, 2, 1), day([0, 1], [0, 1], [1, 2]))
    assert judged.ranks.tolist() == [MISSED, 0]


def test_a_click_on_an_item_that_is_no_candidate_counts_over_all_clicks_alone() -> None:
    judged = judge_one(Fixed(4, 3, 2, 1), day([0, 1], [-1, 0], [1, 2]))
    assert judged.ranks.tolist() == [NOT_SCORED, 0]
    found = figures(judged, np.ones(2, np.bool_))
    assert (found.clicks, found.known, found.recall20, found.recall20_all) == (2, 1, 1.0, 0.5)


def test_figures_of_ranks_are_those_of_the_definitions() -> None:
    judged = judge_one(Fixed(4, 3, 2, 1), day([0, 1, 2], [0, 1, 3], [1, 2, 3]))
    found = figures(judged, np.array([True, True, False]))
    assert found.mrr == pytest.approx((1 + 1 / 2) / 2)
    assert judged.auc[0] > judged.auc[1] > judged.auc[2] == 0
    assert found.tail == pytest.approx(0.5)  # the first 20 of four are all four, of which two are in the tail


def test_users_are_active_from_the_window_after_their_first_click_on() -> None:
    judged = day([0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [10, 20, 30, 110, 210])
    assert window_numbers(judged).tolist() == [0, 0, 0, 1, 2]
    assert active_clicks(judged).tolist() == [False, False, False, True, True]
    found = slices(judged, np.array([True, False]))
    assert found["active_known"].tolist() == [False, False, False, True, False]
    assert found["active_new"].tolist() == [False, False, False, False, True]
    assert found["first_known"].tolist() == [True, False, True, False, False]


def test_the_tail_is_what_lies_outside_the_most_clicked_fifth() -> None:
    assert popular_tail(np.array([5, 1, 9, 2, 0]), 0.2).tolist() == [True, True, False, True, True]


def test_the_interval_of_equal_arms_is_zero_and_that_of_a_clear_difference_lies_above() -> None:
    rng = np.random.default_rng(0)
    users, inside = rng.integers(0, 200, 2000), np.ones(2000, np.bool_)
    worse = (rng.random(2000) < 0.3).astype(np.float64)
    better = np.maximum(worse, rng.random(2000) < 0.1)
    assert interval(worse, worse, users, inside) == (0.0, 0.0, 0.0)
    found = interval(better, worse, users, inside)
    assert found.low < found.difference < found.high
    assert found.low > 0


def test_one_user_with_many_clicks_makes_an_interval_wide_that_many_users_make_narrow() -> None:
    better, worse = np.tile([1.0, 0.0], 500), np.zeros(1000)
    inside = np.ones(1000, np.bool_)
    blocks = np.repeat([1.0, 0.0], 500)
    few, many = np.repeat(np.arange(10), 100), np.arange(1000)
    wide, narrow = interval(blocks, worse, few, inside), interval(better, worse, many, inside)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert standard_error(blocks, worse, few, inside)[1] > 5 * standard_error(better, worse, many, inside)[1]


def test_hits_of_several_seeds_are_their_share() -> None:
    one, other = (judge_one(Fixed(*scores), day([0], [0], [1])) for scores in ((4, 3, 2, 1), (1, 2, 3, 4)))
    assert hits([one, other], 1).tolist() == [0.5]
