"""What a base says of its last training day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from contracts.arrays import Column, pack
from contracts.bases import OpenBase
from contracts.errors import Corrupt
from contracts.events import Context
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from contracts.layout import Layout
from tests.support.bases import tiny_base
from tests.support.shards import Log
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import train
from trainer.context_columns import ContextColumns
from trainer.last_day import HOURS, DayByHour, LastDay, last_day_of, pack_last_day, unpack_last_day

TASTES = Tastes()
SPEC = FeatureSpec((DiscreteFeature("device", ("phone", "desktop")),), (ContinuousFeature("hour", 4.0, 2.0),))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> OpenBase:
    """A base on two days, of which the second counts."""
    layout = Layout(tmp_path_factory.mktemp("last-day"))
    write_tastes(layout, TASTES, Log(partitions=2))
    return train(layout, *DAYS[:2])


@pytest.fixture
def day(base: OpenBase) -> LastDay:
    found = last_day_of(base)
    assert found is not None
    return found


def test_the_clicks_are_those_of_the_last_day_by_item_and_by_hour(day: LastDay) -> None:
    samples = TASTES.day(1)
    assert day.clicks == Counter(sample.item_id for sample in samples)
    hours = Counter((sample.event_time - MIDNIGHT - DAY_MS) // 3_600_000 for sample in samples)
    assert day.hours.tolist() == [hours[hour] for hour in range(HOURS)]


def test_the_values_of_a_feature_are_counted_by_hour_in_the_codes_of_the_base(base: OpenBase, day: LastDay) -> None:
    (feature,) = base.manifest.towers.context.discrete
    (values,) = day.values
    wanted = Counter(
        ((s.event_time - MIDNIGHT - DAY_MS) // 3_600_000, feature.values.index(s.context.discrete["device"]) + 1)
        for s in TASTES.day(1)
    )
    assert {(h, c): int(n) for (h, c), n in np.ndenumerate(values) if n} == wanted


def test_the_means_are_of_standardised_numbers_by_hour(base: OpenBase, day: LastDay) -> None:
    (feature,) = base.manifest.towers.context.continuous
    standardised = [(s.context.continuous["hour"] - feature.mean) / feature.deviation for s in TASTES.day(1)]
    at_seven = (7.0 - feature.mean) / feature.deviation
    assert day.means[7, 0] == pytest.approx(at_seven)
    assert day.deviations[0] == pytest.approx(np.std(standardised))


def test_values_that_the_base_does_not_know_and_missing_ones_count_as_code_0_and_as_the_mean() -> None:
    columns, by_hour = ContextColumns(), DayByHour()
    contexts = [
        Context({"device": "phone"}, {"hour": 8.0}),
        Context({"device": "television"}, {}),
        Context({}, {"hour": 4.0}),
        Context({"device": "desktop"}, {"hour": 4.0}),
    ]
    by_hour.add(columns, columns.of(contexts), np.array([3, 3, 3, 5]))
    found = unpack_last_day(pack_last_day(SPEC, columns, by_hour, {"i": 4}), SPEC)
    assert found.values[0][[3, 5]].tolist() == [[2, 1, 0], [0, 0, 1]]
    assert found.means[3, 0] == pytest.approx(2.0 / 3)  # (8 - 4) / 2, and two that count as the mean
    assert found.deviations[0] == pytest.approx(np.std([2.0, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("seed", range(8))
def test_a_number_that_stayed_the_same_all_day_has_no_deviation(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    spec = FeatureSpec((), (ContinuousFeature("weekend", *numbers.uniform(0.1, 0.5, 2).tolist()),))
    columns, by_hour = ContextColumns(), DayByHour()
    for hour, clicks in enumerate(numbers.integers(50, 400, HOURS).tolist()):
        by_hour.add(columns, columns.of([Context({}, {"weekend": 1.0})] * clicks), np.full(clicks, hour))
    found = unpack_last_day(pack_last_day(spec, columns, by_hour, {"i": int(by_hour.clicks.sum())}), spec)
    assert found.deviations.tolist() == [0.0]


def test_a_feature_of_the_base_that_nobody_carried_on_the_day_is_all_unknown() -> None:
    columns, by_hour = ContextColumns(), DayByHour()
    by_hour.add(columns, columns.of([Context()] * 2), np.array([0, 1]))
    found = unpack_last_day(pack_last_day(SPEC, columns, by_hour, {"i": 2}), SPEC)
    assert found.values[0].sum(axis=0).tolist() == [2, 0, 0]
    assert (found.means.any(), found.deviations.tolist()) == (np.False_, [0.0])


def test_a_base_that_does_not_say_has_none(tmp_path: Path) -> None:
    assert last_day_of(tiny_base(Layout(tmp_path))) is None


GOOD: dict[str, Column] = {
    "items": ["i", "j"],
    "clicks": np.array([1, 2]),
    "hours": np.array([3] + [0] * 23),
    "values": np.array([[1, 1, 1]] + [[0, 0, 0]] * 23),
    "means": np.zeros((HOURS, 1)),
    "deviations": np.ones(1),
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("items", ["i", "i"]),
        ("items", ["i"]),
        ("clicks", np.array([1, 0])),
        ("clicks", np.array([1, 1])),
        ("clicks", np.array([1.0, 2.0])),
        ("hours", np.array([3] + [0] * 22)),
        ("hours", np.array([4, -1] + [0] * 22)),
        ("values", np.array([[1, 1]] + [[0, 0]] * 23)),
        ("values", np.array([[4, -1, 0]] + [[0, 0, 0]] * 23)),
        ("values", np.array([[1, 1, 2]] + [[0, 0, 0]] * 23)),
        ("means", np.full((HOURS, 1), np.nan)),
        ("means", np.zeros((HOURS, 2))),
        ("deviations", np.array([-1.0])),
        ("deviations", np.array([np.inf])),
    ],
)
def test_a_file_that_contradicts_itself_or_the_base_is_corrupt(column: str, value: Any) -> None:
    assert unpack_last_day(pack(GOOD), SPEC).clicks == {"i": 1, "j": 2}
    with pytest.raises(Corrupt, match=r"last_day.safetensors is damaged"):
        unpack_last_day(pack({**GOOD, column: value}), SPEC)


def test_a_day_without_a_click_is_corrupt() -> None:
    nothing: dict[str, Column] = {"items": [], "clicks": np.zeros(0, np.int64), "hours": np.zeros(HOURS, np.int64)}
    with pytest.raises(Corrupt, match="its hours"):
        unpack_last_day(pack({**GOOD, **nothing, "values": np.zeros((HOURS, 3), np.int64)}), SPEC)


def test_the_same_day_gives_the_same_bytes(base: OpenBase, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, TASTES, Log(partitions=2), (37, 5))
    again = train(layout, *DAYS[:2])
    one, other = (safetensors.numpy.load(each.file("last_day.safetensors")) for each in (base, again))
    assert {name: array.tobytes() for name, array in one.items()} == {n: a.tobytes() for n, a in other.items()}
