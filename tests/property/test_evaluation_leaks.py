"""Law 10: no figure of the past changes when the future of a log is shuffled."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.layout import Layout
from tests.support.judged import SmallLog, choices, shuffled_future, small_log
from trainer.calibration import Trial, counted, tried
from trainer.evaluation.arms import MEANING, makers
from trainer.evaluation.clicks import Asked, Clicks
from trainer.evaluation.day import LogDay
from trainer.evaluation.judge import judge_one
from trainer.evaluation.slices import slices
from trainer.evaluation.stage import Stage

HOUR_MS = 3_600_000
NOON = 12


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SmallLog:
    return small_log(Layout(tmp_path_factory.mktemp("leaks")))


@pytest.fixture(scope="module")
def other_future(log: SmallLog) -> LogDay:
    """The third day with another afternoon."""
    day = log.days[2]
    return shuffled_future(day, day.start + NOON * HOUR_MS, seed=5)


@pytest.fixture(scope="module")
def stages(log: SmallLog, other_future: LogDay) -> tuple[Stage, Stage]:
    return log.stage(partitions=2), log.stage(other_future, partitions=2)


def before_noon(log: SmallLog) -> int:
    day = log.days[2]
    return int(np.searchsorted(day.samples.watermarks, day.start + NOON * HOUR_MS))


def test_the_other_future_is_another_one_and_the_past_is_the_same(log: SmallLog, other_future: LogDay) -> None:
    first = before_noon(log)
    assert 100 < first < len(other_future.samples) - 100
    assert other_future.samples.users[:first] == log.days[2].samples.users[:first]
    assert other_future.samples.users[first:] != log.days[2].samples.users[first:]
    assert sorted(other_future.samples.items) == sorted(log.days[2].samples.items)


@pytest.mark.parametrize("name", MEANING)
def test_shuffling_the_afternoon_changes_no_figure_of_the_morning(
    log: SmallLog, stages: tuple[Stage, Stage], name: str
) -> None:
    first = before_noon(log)
    one, other = (judge_one(makers(stage, choices(log.base), 1, False)[name](), stage.day) for stage in stages)
    np.testing.assert_array_equal(one.ranks[:first], other.ranks[:first])
    np.testing.assert_array_equal(one.auc[:first], other.auc[:first])
    np.testing.assert_array_equal(one.tails[:first], other.tails[:first])


def test_slices_masks_and_the_tail_of_the_morning_do_not_know_the_afternoon(
    log: SmallLog, stages: tuple[Stage, Stage]
) -> None:
    first = before_noon(log)
    one, other = (slices(stage.day, stage.known_users) for stage in stages)
    for name in one:
        np.testing.assert_array_equal(one[name][:first], other[name][:first])
    masks = [stage.day.masks.of(np.arange(first)) for stage in stages]
    for mine, theirs in zip(*masks, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(stages[0].day.tail, stages[1].day.tail)


def test_what_calibration_counts_in_the_morning_does_not_know_the_afternoon(
    log: SmallLog, stages: tuple[Stage, Stage]
) -> None:
    trial = Trial(log.base.manifest.online, 0.5)
    first = before_noon(log)
    morning = [int(counted(stage)[:first].sum()) for stage in stages]
    assert morning[0] == morning[1] > 50
    one, other = (tried(stage, trial).hits[: morning[0]] for stage in stages)
    np.testing.assert_array_equal(one, other)


class _Peeking:
    """An arm that ranks what the window's users are about to click first: this must be caught."""

    def __init__(self, day: Clicks, candidates: int) -> None:
        self._day, self._candidates = day, candidates

    def scores(self, asked: Asked) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        popular = np.bincount(self._day.items[self._day.items >= 0], minlength=self._candidates)
        later = np.bincount(self._day.items[-200:][self._day.items[-200:] >= 0], minlength=self._candidates)
        return np.broadcast_to((popular + 7.0 * later).astype(np.float32), (len(asked.users), self._candidates))

    def learn(self, clicks: Clicks) -> None:
        pass


def test_an_arm_that_peeks_at_the_whole_day_is_caught(log: SmallLog, stages: tuple[Stage, Stage]) -> None:
    first = before_noon(log)
    one, other = (judge_one(_Peeking(stage.day.clicks, stage.day.candidates), stage.day) for stage in stages)
    assert (one.ranks[:first] != other.ranks[:first]).any()
