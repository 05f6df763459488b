"""The full retrain: which days and parents it takes, what the base carries, and that it repeats."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import bases, trend
from contracts.bases import BaseStore
from contracts.errors import Corrupt, MissingInput, UsageError
from contracts.features import FeatureSpec
from contracts.layout import Layout
from contracts.rows import pushed
from tests.support.shards import Log, ShardWriter, by_partition, click, write_log
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import fold, small_settings, train
from trainer.lineage import FROM_SCRATCH, item_counts

TWO = Log(partitions=2)
TASTES = Tastes()


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Shards of two days and the bases of the lineage: first day, then second."""
    layout = Layout(tmp_path_factory.mktemp("two-days"))
    write_tastes(layout, TASTES, TWO)
    train(layout, DAYS[0])
    train(layout, DAYS[1])
    return layout


def test_the_same_plan_again_finds_the_base_and_trains_nothing(two_days: Layout) -> None:
    before = BaseStore(two_days).ids()
    steps: list[int] = []
    again = train(two_days, DAYS[1], progress=lambda what, done, total: steps.append(done))
    assert again.manifest.base_id == before[-1]
    assert BaseStore(two_days).ids() == before
    assert not steps


def test_two_runs_on_other_shard_cuts_write_bases_that_are_equal_bit_for_bit(two_days: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path)
    write_tastes(other, TASTES, TWO, sizes=(37, 1))
    base = train(other, DAYS[0])
    assert base.digest == BaseStore(two_days).open(base.manifest.base_id).digest


def test_a_warm_start_names_its_parent_and_keeps_the_parents_items_in_place(two_days: Layout) -> None:
    first, second = (BaseStore(two_days).open(base_id) for base_id in BaseStore(two_days).ids())
    assert (second.manifest.parent, second.manifest.parent_digest) == (first.manifest.base_id, first.digest)
    assert second.items.ids[: len(first.items.ids)] == first.items.ids
    assert set(first.rows) < set(second.rows)
    assert not np.array_equal(first.items.vectors, second.items.vectors[: len(first.items.ids)])
    assert sum(item_counts(second).values()) == 2 * TASTES.clicks_per_day


def test_rings_evidence_and_trend_at_the_cut_are_the_fold_of_all_samples_of_the_lineage(two_days: Layout) -> None:
    second = BaseStore(two_days).open(BaseStore(two_days).ids()[-1])
    rings: dict[str, tuple[str, ...]] = {}
    counts: dict[str, float] = {}
    for sample in TASTES.samples():
        rings[sample.user_id] = pushed(rings.get(sample.user_id, ()), sample.item_id)
        weight = trend.weight(sample.event_time, second.manifest.trend_t0, second.manifest.online.half_life_ms)
        counts[sample.item_id] = counts.get(sample.item_id, 0.0) + weight
    assert {user: row.ring for user, row in second.rows.items()} == rings
    assert sum(row.clicks for row in second.rows.values()) == len(TASTES.samples())
    assert second.manifest.trend_t0 == second.manifest.cut_watermark == MIDNIGHT + 2 * DAY_MS
    assert {item for item, count in counts.items() if count > 1e-5} <= set(second.trend)
    for item, count in second.trend.items():
        assert count == pytest.approx(counts[item], rel=1e-9)


def test_own_rows_are_shrunk_after_training(two_days: Layout, tmp_path: Path) -> None:
    lengths = {}
    for shrink in (1.0, 0.25):
        layout = Layout(tmp_path / str(shrink))
        write_tastes(layout, TASTES, TWO)
        base = train(layout, settings=small_settings(retrain={"own_scale": shrink}))
        lengths[shrink] = np.linalg.norm([row.own for row in base.rows.values()], axis=1)
    np.testing.assert_allclose(lengths[0.25], 0.25 * lengths[1.0], rtol=1e-5)
    assert lengths[1.0].max() > 0.01


def test_an_item_gets_a_vector_from_its_fifth_click_over_the_lineage(tmp_path: Path) -> None:
    layout, writer = Layout(tmp_path), ShardWriter(Layout(tmp_path))
    first = [click(f"u{n}", "often", MIDNIGHT + n) for n in range(20)]
    first += [click(f"u{n}", "slowly", MIDNIGHT + 100 + n) for n in range(3)]
    second = [click(f"u{n}", "slowly", MIDNIGHT + DAY_MS + n) for n in range(2)]
    second += [click("u1", "once", MIDNIGHT + DAY_MS + 50)]
    writer.append(by_partition(Log(), first + second)[0], MIDNIGHT + 2 * DAY_MS)
    settings = small_settings(retrain={"min_item_clicks": 5})
    assert train(layout, DAYS[0], settings=settings).items.ids == ["often"]
    after = train(layout, DAYS[1], settings=settings)
    assert after.items.ids == ["often", "slowly"]
    assert after.manifest.metrics["untrained_samples"] == 1
    assert after.rows["u1"].ring[-1] == "once"


def test_a_day_that_is_not_complete_is_refused_with_what_to_do(tmp_path: Path) -> None:
    layout, samples = Layout(tmp_path), by_partition(TWO, TASTES.samples())
    for partition in range(2):
        ShardWriter(layout, TWO, partition).append(samples[partition], MIDNIGHT + 2 * DAY_MS - partition)
    train(layout, DAYS[0])
    with pytest.raises(MissingInput, match=r"2025-01-07 .* is not complete: partition 1") as refused:
        train(layout, DAYS[1])
    assert "Wait" in refused.value.hint
    assert refused.value.exit_code == 2


def test_an_empty_day_and_a_topic_without_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="has no shards"):
        train(Layout(tmp_path))
    ShardWriter(Layout(tmp_path)).append([], MIDNIGHT + 5 * DAY_MS)
    with pytest.raises(MissingInput, match="holds no samples") as refused:
        train(Layout(tmp_path))
    assert refused.value.hint


def test_a_day_without_samples_is_taken_among_others_and_days_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    layout, tastes = Layout(tmp_path), Tastes(days=4)
    late = msgspec.structs.replace(click("u1.0", "i1.1", MIDNIGHT + DAY_MS - 1), watermark=MIDNIGHT + DAY_MS + 1000)
    write_log(layout, TWO, [*tastes.day(0), late, *tastes.day(3)], MIDNIGHT + 6 * DAY_MS)
    days = [f"2025-01-0{day}" for day in range(6, 10)]
    whole = train(layout, *days)
    assert (whole.manifest.days, whole.manifest.cut_watermark) == (tuple(days), MIDNIGHT + 4 * DAY_MS)
    assert whole.manifest.metrics["samples"] == 2 * tastes.clicks_per_day + 1
    ends_empty = train(layout, *days[:3], parent=FROM_SCRATCH)
    assert ends_empty.manifest.cut_watermark == MIDNIGHT + 3 * DAY_MS
    for empty in (["2025-01-08"], ["2025-01-10", "2025-01-11"]):
        with pytest.raises(MissingInput, match=f"day {', '.join(empty)} of topic 'events' holds no samples"):
            train(layout, *empty, parent=FROM_SCRATCH)


def test_a_base_that_is_there_and_damaged_is_named_and_not_returned(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(days=1))
    base = train(layout)
    path = layout.base(base.manifest.base_id) / bases.DENSE
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(Corrupt, match=bases.DENSE):
        train(layout)


def test_a_partition_without_shards_is_refused(tmp_path: Path) -> None:
    ShardWriter(Layout(tmp_path), TWO, 0).append([], MIDNIGHT + DAY_MS)
    with pytest.raises(MissingInput, match="partition 1 of topic 'events' has no shards"):
        train(Layout(tmp_path))


def test_a_day_that_the_parent_has_seen_is_refused(two_days: Layout) -> None:
    first, second = BaseStore(two_days).ids()
    for parent, day in ((first, DAYS[0]), (second, DAYS[1]), (second, DAYS[0])):
        with pytest.raises(UsageError, match="has seen that day"):
            train(two_days, day, parent=parent)


def test_days_that_leave_out_samples_after_the_parent_are_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(days=3), TWO)
    train(layout, DAYS[0])
    with pytest.raises(UsageError, match="lie samples that no day"):
        train(layout, DAYS[2])
    with pytest.raises(UsageError, match="lie samples that no day"):
        train(layout, DAYS[0], DAYS[2], parent=FROM_SCRATCH)
    assert train(layout, DAYS[2], parent=FROM_SCRATCH).manifest.parent == ""


def test_towers_of_another_shape_are_not_warm_started(two_days: Layout) -> None:
    first = BaseStore(two_days).ids()[0]
    with pytest.raises(UsageError, match="another shape") as refused:
        train(two_days, DAYS[1], parent=first, settings=small_settings(towers={"width": 8}))
    assert "--from-scratch" in refused.value.hint


def test_a_training_that_diverges_writes_no_base(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(), TWO)
    with pytest.raises(UsageError, match="not finite"):
        train(layout, settings=small_settings(towers={"score": "dot"}, retrain={"row_step": 1e30, "dense_step": 1e30}))
    assert BaseStore(layout).ids() == []


@pytest.mark.parametrize("stopped", ["read", "train"])
def test_a_retrain_that_is_interrupted_leaves_no_base_and_no_scattered_samples(tmp_path: Path, stopped: str) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(), TWO)

    def interrupt(what: str, done: int, total: int) -> None:
        assert list(layout.bases().glob(".*.shuffled"))
        if what.startswith(stopped):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(layout, progress=interrupt)
    assert list(layout.bases().iterdir()) == []
    assert train(layout).manifest.days == DAYS[:1]
    assert [path.name for path in layout.bases().iterdir()] == BaseStore(layout).ids()


def test_a_small_day_still_gets_the_least_number_of_steps(tmp_path: Path) -> None:
    layout, steps = Layout(tmp_path), []
    write_tastes(layout, Tastes(clicks_per_day=400), TWO)
    train(layout, progress=lambda what, done, total: steps.append((what, done, total)))
    assert [step for step in steps if step[0] == f"read {DAYS[0]}"][-1][1:] == (400, 400)
    trained = [step for step in steps if step[0] == f"train {DAYS[0]}"]
    assert trained == [(f"train {DAYS[0]}", step, 200) for step in range(1, 201)]


def test_contexts_without_features_train_a_tower_without_features(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(with_context=False), TWO)
    base = train(layout)
    assert base.manifest.towers.context == FeatureSpec()
    assert fold(layout, base) == Tastes().clicks_per_day
