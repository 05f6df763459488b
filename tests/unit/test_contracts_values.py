"""The small pure functions that stages must agree on: partitions, days, trend weights, encoded features."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from contracts import days, trend
from contracts.errors import UsageError
from contracts.events import Context
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureEncoder, FeatureSpec
from contracts.partitions import murmur2, partition_of

HOUR = 3_600_000
HALF_LIFE = 1_800_000


@given(st.binary(max_size=40))
def test_the_partitioner_hashes_as_kafkas_does(key: bytes) -> None:
    assert murmur2(key) == kafka_murmur2(key) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("key", "hashed"), [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)]
)
def test_the_partitioner_hashes_as_kafkas_own_tests_say(key: str, hashed: int) -> None:
    assert murmur2(key.encode()) == hashed & 0xFFFFFFFF


@given(st.text(min_size=1), st.integers(1, 1000))
def test_every_user_has_one_partition_of_those_there_are(user: str, partitions: int) -> None:
    assert 0 <= partition_of(user, partitions) < partitions


def test_a_day_is_as_long_as_its_zone_says() -> None:
    assert days.bounds("2017-10-08", "UTC") == (1_507_420_800_000, 1_507_507_200_000)
    spring, autumn = days.bounds("2017-10-15", "America/Sao_Paulo"), days.bounds("2017-10-29", "Europe/Berlin")
    assert spring[1] - spring[0] == 23 * HOUR
    assert autumn[1] - autumn[0] == 25 * HOUR


@given(st.dates(min_value=dt.date(2001, 1, 1)), st.sampled_from(["UTC", "America/Sao_Paulo", "Asia/Tokyo"]))
def test_the_first_and_the_last_millisecond_of_a_day_are_on_it(date: object, zone: str) -> None:
    start, end = days.bounds(str(date), zone)
    assert [days.day_of(time, zone) for time in (start, end - 1)] == [str(date)] * 2
    assert days.day_of(start - 1, zone) < str(date)


@pytest.mark.parametrize(("day", "zone"), [("8.10.2017", "UTC"), ("2017-13-01", "UTC"), ("2017-10-08", "Mars/Olympus")])
def test_what_is_no_day_or_no_zone_is_a_mistake_with_a_hint(day: str, zone: str) -> None:
    with pytest.raises(UsageError) as error:
        days.bounds(day, zone)
    assert error.value.hint


def test_a_click_counts_half_after_the_half_life() -> None:
    count = np.array([trend.weight(5 * HALF_LIFE, 0, HALF_LIFE)])
    assert trend.decayed(count, 5 * HALF_LIFE, 0, HALF_LIFE) == pytest.approx([1.0])
    assert trend.decayed(count, 6 * HALF_LIFE, 0, HALF_LIFE) == pytest.approx([0.5])


@given(st.integers(-(1 << 62), 1 << 62), st.integers(-(1 << 62), 1 << 62))
def test_no_time_gives_an_infinite_weight(event_time: int, t0: int) -> None:
    assert 0 < trend.weight(event_time, t0, HALF_LIFE) < math.inf


def test_trend_tables_of_partitions_add_up() -> None:
    assert trend.merged([{"a": 1.0, "b": 2.0}, {}, {"b": 0.5}]) == {"a": 1.0, "b": 2.5}
    assert trend.prior(np.array([0.0]), 2.0, 1.0).tolist() == [0.0]


def test_what_a_spec_does_not_know_is_code_0_and_what_is_missing_is_the_mean() -> None:
    spec = FeatureSpec((DiscreteFeature("device", ("phone", "tv")),), (ContinuousFeature("hour", 12.0, 6.0),))
    contexts = [Context({"device": "tv"}, {"hour": 18.0}), Context({"device": "fridge", "x": "y"}), Context()]
    codes, numbers = FeatureEncoder(spec).encode(contexts)
    assert codes.tolist() == [[2], [0], [0]]
    assert numbers.tolist() == [[1.0], [0.0], [0.0]]


@pytest.mark.parametrize("count", [0, 2])
def test_a_spec_without_features_gives_arrays_without_columns(count: int) -> None:
    codes, numbers = FeatureEncoder(FeatureSpec()).encode([Context()] * count)
    assert codes.shape == numbers.shape == (count, 0)
    assert codes.dtype == np.dtype(np.int64)
    assert numbers.dtype == np.dtype(np.float32)
