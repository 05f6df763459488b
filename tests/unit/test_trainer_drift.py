"""What a drift record says, on days and bases that can be computed by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas
from contracts.arrays import Doubles
from contracts.bases import OpenBase
from contracts.drift import Drift
from contracts.events import Context
from contracts.layout import Layout
from contracts.samples import Sample
from tests.support.shards import ShardWriter, click
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import fold, small_settings, train
from trainer.drift import DriftMeter, Mix, divergence
from trainer.last_day import LAST_DAY, last_day_of
from trainer.negatives import numbers_of

TODAY, HALF_HOUR = MIDNIGHT + DAY_MS, 1_800_000
TASTES = Tastes(days=1)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Layout, OpenBase]:
    """A base on the first day, and the shards of that day alone."""
    layout = Layout(tmp_path)
    write_tastes(layout, TASTES)
    return layout, train(layout)


def records(layout: Layout, base: OpenBase, found: list[Sample], end: int = TODAY + HALF_HOUR) -> list[Drift]:
    """Commit samples after the first day in one shard, fold them, and return the drift of each delta."""
    first = base.manifest.cut[0]
    numbered = [msgspec.structs.replace(sample, ordinal=first + n) for n, sample in enumerate(found)]
    ShardWriter(layout).append(numbered, end)
    fold(layout, base)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    return [record for entry in chain.entries() if (record := deltas.drift_of(chain, entry))]


def dense_divergence(one: Doubles, other: Doubles) -> float:
    """The textbook: entropy of the middle, less the mean of the entropies."""

    def entropy(shares: Doubles) -> float:
        return -float(sum(share * np.log2(share) for share in shares if share))

    return entropy((one + other) / 2) - (entropy(one) + entropy(other)) / 2


def test_the_divergence_is_0_of_equal_mixes_1_of_mixes_apart_and_else_the_textbooks() -> None:
    some = np.array([0.5, 0.25, 0.25])
    assert divergence(some, some) == 0.0
    assert divergence(np.array([1.0]), np.array([0.0])) == 1.0
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = rng.dirichlet(np.full(9, 0.5), 2)
        assert divergence(one, other) == pytest.approx(dense_divergence(one, other))


def test_the_divergence_looks_only_at_what_was_found() -> None:
    found, known = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.1, 0.2, 0.3, 0.4])
    assert divergence(found[:2], known[:2]) == pytest.approx(dense_divergence(found, known))


@pytest.mark.parametrize("seen", [200, 100_000])
@pytest.mark.parametrize("clicks", [1, 7, 300, 20_000])
def test_two_samples_of_one_mix_are_as_unlike_as_by_chance(clicks: int, seen: int) -> None:
    rng = np.random.default_rng(2)
    mix = Mix.of(rng.pareto(1.0, 500), seen)
    found = [
        divergence(rng.multinomial(clicks, mix.shares) / clicks, rng.multinomial(seen, mix.shares) / seen)
        for _ in range(60)
    ]
    assert mix.by_chance(clicks, numbers_of("a test", 0)) == pytest.approx(np.mean(found), rel=0.1)


def test_a_row_that_moved_and_one_that_did_not_are_told_by_distance_and_angle(
    trained: tuple[Layout, OpenBase],
) -> None:
    layout, base = trained
    (record,) = records(layout, base, [click("u1.0", "i1.1", TODAY + 1), click("u2.0", "unknown", TODAY + 2)])
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    now, before = deltas.read(chain, chain.read(1)).rows["u1.0"].own, base.rows["u1.0"].own
    assert record.distance is not None
    assert record.angle is not None
    assert record.distance.most == pytest.approx(np.linalg.norm(now - before), rel=1e-5)
    assert record.distance.p50 == pytest.approx(record.distance.most / 2)  # the other one did not move
    cosine = np.dot(base.common + now, base.common + before) / np.prod(
        [np.linalg.norm(base.common + each) for each in (now, before)]
    )
    assert record.angle.most == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-2)
    assert (record.touched_known, record.touched_new) == (2, 0)


def test_users_that_the_base_does_not_know_are_counted_and_not_measured(trained: tuple[Layout, OpenBase]) -> None:
    layout, base = trained
    (record,) = records(layout, base, [click(f"new{n}", "i1.1", TODAY + n) for n in range(3)])
    assert (record.touched_known, record.touched_new) == (0, 3)
    assert (record.distance, record.angle) == (None, None)


def test_the_common_row_is_measured_against_the_bases(trained: tuple[Layout, OpenBase]) -> None:
    layout, base = trained
    found = [click(f"u{n % 9}.0", "i1.1", TODAY + n) for n in range(64)]
    (record,) = records(layout, base, found)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    common = deltas.read(chain, chain.read(1)).common
    assert record.common_distance == pytest.approx(np.linalg.norm(common - base.common), rel=1e-5)
    assert record.common_angle > 1


def day_again(*topics: str) -> list[Sample]:
    """The first day's clicks, today at the same hours; of some topics, or of all."""
    return [
        msgspec.structs.replace(sample, event_time=sample.event_time + DAY_MS, watermark=sample.watermark + DAY_MS)
        for sample in TASTES.day(0)
        if not topics or sample.item_id.startswith(topics)
    ]


def over_the_day(trained: tuple[Layout, OpenBase], found: list[Sample]) -> Drift:
    """The record of a day in one interval."""
    layout, base = trained
    first = base.manifest.cut[0]
    numbered = [msgspec.structs.replace(sample, ordinal=first + n) for n, sample in enumerate(found)]
    ShardWriter(layout).append(numbered, TODAY + DAY_MS)
    fold(layout, base, small_settings().model_copy(update={"publish_interval_ms": DAY_MS}))
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    (record,) = [deltas.drift_of(chain, entry) for entry in chain.entries()]
    assert record is not None
    return record


def test_the_bases_own_day_again_shows_no_drift_of_clicks(trained: tuple[Layout, OpenBase]) -> None:
    record = over_the_day(trained, day_again())
    assert record.popularity is not None
    assert record.popularity.divergence == pytest.approx(0.0, abs=1e-9)
    assert record.discrete["device"].divergence == pytest.approx(0.0, abs=1e-9)
    assert record.continuous["hour"] == pytest.approx(0.0, abs=1e-6)
    assert record.popularity.excess < 0  # even less than chance would show
    assert record.lacking == ()


def test_clicks_on_two_topics_alone_shift_the_popularity_and_nothing_of_the_contexts(
    trained: tuple[Layout, OpenBase],
) -> None:
    record = over_the_day(trained, day_again("i1.", "i2."))
    assert record.popularity is not None
    assert record.popularity.excess > 0.3
    assert abs(record.discrete["device"].excess) < 0.02
    assert abs(record.continuous["hour"]) < 0.2


def test_a_device_that_the_base_does_not_know_shifts_that_feature_and_no_other(
    trained: tuple[Layout, OpenBase],
) -> None:
    found = [
        msgspec.structs.replace(sample, context=Context({"device": "television"}, sample.context.continuous))
        for sample in day_again()
    ]
    record = over_the_day(trained, found)
    assert record.discrete["device"].divergence == pytest.approx(1.0)
    assert record.continuous["hour"] == pytest.approx(0.0, abs=1e-6)


def test_a_number_that_is_off_is_told_in_deviations_of_the_day(trained: tuple[Layout, OpenBase]) -> None:
    deviation = float(np.std([sample.context.continuous["hour"] for sample in TASTES.day(0)]))
    found = [
        msgspec.structs.replace(
            sample,
            context=Context(sample.context.discrete, {"hour": sample.context.continuous["hour"] - 2 * deviation}),
        )
        for sample in day_again()
    ]
    assert over_the_day(trained, found).continuous["hour"] == pytest.approx(-2.0, rel=1e-3)


def test_a_deviation_that_rounding_left_is_none(
    trained: tuple[Layout, OpenBase], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base = trained
    day = last_day_of(base)
    assert day
    monkeypatch.setattr("trainer.drift.last_day_of", lambda _: replace(day, deviations=np.full(1, 2e-8)))
    assert over_the_day(trained, day_again()).continuous["hour"] == pytest.approx(0, abs=1e-6)


def test_what_changes_with_the_hour_every_day_is_no_drift(trained: tuple[Layout, OpenBase]) -> None:
    layout, base = trained
    morning = [sample for sample in day_again() if sample.watermark < TODAY + 2 * HALF_HOUR]
    first, second = records(layout, base, morning, TODAY + 2 * HALF_HOUR)
    for record in (first, second):  # the hour is 0, two deviations below the day's mean
        assert abs(record.continuous["hour"]) < 0.05


def test_an_interval_without_clicks_has_a_record_without_figures_of_clicks(
    trained: tuple[Layout, OpenBase],
) -> None:
    layout, base = trained
    records(layout, base, [])
    (record,) = records(layout, base, [], TODAY + HALF_HOUR + 1)
    assert (record.popularity, record.discrete, record.continuous, record.touched_known) == (None, {}, {}, 0)


def test_a_base_that_does_not_say_what_its_day_was_lacks_both_kinds_by_name(
    trained: tuple[Layout, OpenBase],
) -> None:
    _, base = trained
    older = tuple(file for file in base.manifest.files if file.name != LAST_DAY)
    meter = DriftMeter(replace(base, manifest=msgspec.structs.replace(base.manifest, files=older)), 0)
    assert meter.lacking == ("popularity", "context")
    assert DriftMeter(base, 0).lacking == ()
