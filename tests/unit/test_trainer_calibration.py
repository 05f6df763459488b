"""What calibration chooses, and by which rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.bases import OnlineSettings
from contracts.layout import Layout
from tests.support.tastes import DAYS, Tastes, write_tastes
from tests.support.trained import small_settings, train
from trainer.calibration import CALIBRATION, COMMON, EVERYTHING, OWN, TREND, Grid, Trial, Tried, search
from trainer.lineage import NEWEST

CLICKS = 4000
START = Trial(OnlineSettings(), 0.3)


class Truth:
    """Trials whose recall is 0.3 and what `gains` says of their settings, over users with one click each."""

    def __init__(self, gains: dict[str, dict[float, float]]) -> None:
        self._gains = gains
        self.users = np.arange(CLICKS)
        self.seen: list[Trial] = []

    def run(self, trials: Sequence[Trial]) -> list[Tried]:
        self.seen += trials
        return [self._tried(trial) for trial in trials]

    def _tried(self, trial: Trial) -> Tried:
        settings = {**msgspec.structs.asdict(trial.online), "own_scale": trial.own_scale}
        recall = 0.3 + sum(gains.get(settings[name], 0.0) for name, gains in self._gains.items())
        hits = (np.random.default_rng(0).random(CLICKS) < recall).astype(np.float64)
        return Tried(trial, float(hits.mean()), hits)


def chosen(gains: dict[str, dict[float, float]], grid: Grid = EVERYTHING) -> Trial:
    return search(Truth(gains), START, grid).chosen  # type: ignore[arg-type]


def test_what_helps_nobody_stays_off() -> None:
    found = chosen({})
    assert (found.online.beta, found.online.bias_weight, found.online.own_step) == (0, 1, 0)


def test_what_helps_is_kept_at_its_best_value() -> None:
    found = chosen({"beta": {1.0: 0.05, 1.2: 0.2}, "common_step": {1.0: 0.1}, "own_step": {0.3: 0.1}})
    assert (found.online.beta, found.online.common_step, found.online.own_step) == (1.2, 1.0, 0.3)
    assert found.online.bias_weight == 0.0


def test_a_gain_within_two_standard_errors_does_not_switch_anything_on() -> None:
    assert chosen({"own_step": {0.1: 0.00025, 0.3: 0.0005}}, OWN).online.own_step == 0.0


def test_a_scale_and_a_common_step_are_the_best_there_are_without_further_ado() -> None:
    found = chosen({"own_scale": {1.0: 0.001}, "common_step": {0.1: 0.001}})
    assert (found.own_scale, found.online.common_step) == (1.0, 0.1)


def test_a_loss_is_never_kept() -> None:
    found = chosen({"beta": dict.fromkeys([0.5, 1.0, 1.2, 1.5], -0.1), "own_step": {0.1: -0.1}})
    assert (found.online.beta, found.online.bias_weight, found.online.own_step) == (0.0, 1.0, 0.0)


def test_each_setting_is_tried_with_what_was_kept_before_it() -> None:
    truth = Truth({"beta": {1.0: 0.2}})
    search(truth, START, (*TREND, *COMMON))  # type: ignore[arg-type]
    assert {trial.online.beta for trial in truth.seen[len(TREND[0]) :]} == {1.0}


def test_without_active_users_the_given_settings_stay() -> None:
    truth = Truth({})
    truth.users = np.zeros(0, np.int64)
    assert search(truth, START, EVERYTHING).chosen == START  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Two days of a log of tastes, and a base on the first."""
    layout = Layout(tmp_path_factory.mktemp("calibrated"))
    write_tastes(layout, Tastes(users=150, topics=10, items_per_topic=40, clicks_per_day=4000, with_context=False))
    train(layout, settings=small_settings(retrain={"batch": 256, "min_steps": 200}))
    return layout


def test_the_night_folds_yesterday_onto_yesterdays_base_and_writes_its_choice_into_the_new_one(
    two_nights: Layout,
) -> None:
    settings = small_settings(retrain={"batch": 256, "min_steps": 200, "calibrate": True}, online={"negatives": 64})
    base = train(two_nights, DAYS[1], parent=NEWEST, settings=settings)
    assert base.manifest.online.beta == 0.0  # nothing of the log is a trend
    assert base.manifest.online.own_step > 0  # all of it is taste
    tried = msgspec.json.decode(base.file(CALIBRATION), type=list[tuple[str, float, bool]])
    assert len(tried) == sum(map(len, EVERYTHING))
    assert base.manifest.metrics["calibration_recall20_active"] == pytest.approx(
        [r for _, r, kept in tried if kept][-1]
    )


def test_the_first_base_of_a_lineage_has_the_settings_of_the_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(days=1))
    settings = small_settings(retrain={"calibrate": True}, online={"own_step": 0.7})
    base = train(layout, settings=settings)
    assert base.manifest.online == settings.online.chosen()
    assert msgspec.json.decode(base.file(CALIBRATION)) == []
