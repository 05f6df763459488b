"""What the online update learns, counts and refuses."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas, features, trend, validation
from contracts.bases import BaseStore, OpenBase
from contracts.deltas import Changes
from contracts.errors import LogChanged, UsageError, WrongParent
from contracts.events import Context
from contracts.layout import Layout
from contracts.rows import pushed
from contracts.samples import Sample
from tests.support.shards import Log, ShardWriter, click
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import delta_contents, fold, small_settings, train
from trainer.digest import online_digest, overlay
from trainer.online import OnlineWorker

TODAY, HALF_HOUR = MIDNIGHT + DAY_MS, 1_800_000
TASTES = Tastes()


def trained(root: Path, tastes: Tastes = TASTES, **online: float) -> tuple[Layout, OpenBase]:
    """A base on the first day, and the shards of that day alone."""
    layout = Layout(root)
    write_tastes(layout, replace(tastes, days=1))
    return layout, train(layout, settings=small_settings(online=online))


def stream(layout: Layout, base: OpenBase, found: list[Sample], end: int = TODAY + HALF_HOUR) -> Changes:
    """Commit samples after the first day in one shard, fold them, and return what the deltas changed."""
    first = base.manifest.cut[0]
    numbered = [msgspec.structs.replace(sample, ordinal=first + n) for n, sample in enumerate(found)]
    ShardWriter(layout).append(numbered, end)
    fold(layout, base)
    changes, _ = overlay(layout, base, 0)
    assert changes is not None
    return changes


def recall(layout: Layout, base: OpenBase, arm: str, slice_name: str = "active") -> float:
    counts: Counter[str] = Counter()
    for partition in range(base.manifest.partitions):
        chain = deltas.chain(layout, base.manifest.base_id, partition)
        for entry in chain.entries():
            for record in validation.decode(chain.data(entry, deltas.VALIDATION)):
                if (record.arm, record.slice) == (arm, slice_name):
                    counts.update(hits=record.hits, known=record.known)
    return counts["hits"] / counts["known"]


def test_a_users_row_moves_towards_what_she_clicked_and_away_from_nobody_else(tmp_path: Path) -> None:
    layout, base = trained(tmp_path, common_step=0.0)
    item = base.items.ids[3]
    vector = base.items.vectors[3]
    changes = stream(layout, base, [click("u1.0", item, TODAY + 1000), click("u1.0", item, TODAY + 2000)])
    moved = changes.rows["u1.0"].own - base.rows["u1.0"].own
    assert float(moved @ vector) > 0.01
    assert set(changes.rows) == {"u1.0"}
    assert np.array_equal(changes.common, base.common)


def test_recall_of_active_users_improves_on_a_log_of_drifting_tastes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tastes = Tastes(users=150, topics=10, items_per_topic=40, clicks_per_day=4000, with_context=False)
    write_tastes(layout, tastes, Log(partitions=2))
    online = {"own_step": 0.5, "beta": 0.0, "bias_weight": 1.0}
    base = train(layout, settings=small_settings(retrain={"batch": 256, "min_steps": 200}, online=online))
    fold(layout, base)
    frozen, served = recall(layout, base, "frozen"), recall(layout, base, "served")
    assert served > 2 * frozen, (served, frozen)


def test_the_trend_prior_and_the_common_row_follow_what_everybody_clicks(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    rng, hot = np.random.default_rng(0), base.items.ids[:4]
    clicks = [click(f"n{n}", hot[int(rng.integers(4))], TODAY + n * 9_000) for n in range(800)]
    stream(layout, base, clicks, TODAY + 4 * HALF_HOUR)
    assert recall(layout, base, "served", "all") > recall(layout, base, "frozen", "all") + 0.2


def test_items_without_a_vector_count_in_the_trend_and_in_the_ring_and_move_no_row(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    changes = stream(layout, base, [click("u1.0", "breaking", TODAY + 1000), click("new", "breaking", TODAY + 2000)])
    assert np.array_equal(changes.common, base.common)
    assert np.array_equal(changes.rows["u1.0"].own, base.rows["u1.0"].own)
    assert changes.rows["u1.0"].ring == pushed(base.rows["u1.0"].ring, "breaking")
    assert not changes.rows["new"].own.any()
    assert changes.trend["breaking"] == pytest.approx(
        sum(trend.weight(TODAY + at, TODAY, HALF_HOUR) for at in (1000, 2000))
    )
    (body,) = [content.body for content in delta_contents(layout, base)]
    assert (body.samples, body.learned, body.trend_only, body.set_aside) == (2, 0, 2, 0)


def test_a_context_that_overflows_is_set_aside_and_leaves_the_others_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MAX_DEVIATIONS", math.inf)  # the guard before this one is off
    sound = Context({"device": "phone"}, {"hour": 3.0})
    item = "i1.1"
    poisoned = Context({"device": "phone"}, {"hour": 3e38})
    states = []
    for name, context, learned in (("a", sound, 2), ("b", poisoned, 1)):
        layout, base = trained(tmp_path / name, common_step=0.0)
        found = [click("u1.0", item, TODAY + 1000, sound), click("u2.0", item, TODAY + 2000, context)]
        states.append(stream(layout, base, found))
        (body,) = [content.body for content in delta_contents(layout, base)]
        assert (body.learned, body.set_aside) == (learned, 2 - learned)
    assert np.array_equal(states[0].rows["u1.0"].own, states[1].rows["u1.0"].own)
    assert np.array_equal(states[1].rows["u2.0"].own, base.rows["u2.0"].own)
    assert states[1].rows["u2.0"].ring[-1] == item


def test_a_click_from_the_future_weighs_no_more_than_one_now(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    ahead = msgspec.structs.replace(click("u1.0", "i1.1", TODAY + 1000), event_time=TODAY + 40 * 3_600_000)
    changes = stream(layout, base, [ahead])
    assert changes.trend["i1.1"] == trend.weight(TODAY + 1000, TODAY, HALF_HOUR)
    assert changes.rows["u1.0"].last_event_time == TODAY + 1000


def test_a_user_gets_a_row_at_the_nth_click_and_is_counted_until_then(tmp_path: Path) -> None:
    layout, base = trained(tmp_path, admit_after=3)
    bucket = 300_000
    clicks = [click(user, "i1.1", TODAY + n * bucket) for n, user in enumerate(["new", "once", "new", "new"])]
    first = stream(layout, base, clicks[:3])
    assert first.admission == {"new": 2, "once": 1}
    assert not first.rows
    third = msgspec.structs.replace(clicks[3], ordinal=base.manifest.cut[0] + 3, watermark=TODAY + HALF_HOUR)
    ShardWriter(layout).append([third], TODAY + DAY_MS)
    fold(layout, base)
    after, _ = overlay(layout, base, 0)
    assert after is not None
    assert after.admission == {"once": 1}
    assert after.rows["new"].clicks == 3
    assert after.rows["new"].own.any()


def test_a_delta_is_committed_at_every_boundary_even_when_nothing_happened(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    stream(layout, base, [click("u1.0", "i1.1", TODAY + 1000)], TODAY + 3 * HALF_HOUR + 5)
    bodies = [content.body for content in delta_contents(layout, base)]
    assert [body.watermark - TODAY for body in bodies] == [HALF_HOUR, 2 * HALF_HOUR, 3 * HALF_HOUR]
    assert [body.samples for body in bodies] == [1, 0, 0]
    assert [body.touched_rows for body in bodies] == [1, 0, 0]


@pytest.mark.parametrize("clicks", [0, 3])
def test_a_worker_that_starts_after_shards_without_samples_commits_what_one_that_followed_them_did(
    tmp_path: Path, clicks: int
) -> None:
    found = [click("u1.0", "i1.1", TODAY + 1000 + n) for n in range(clicks)]
    contents = []
    for name in ("followed", "started late", "started twice"):
        layout, base = trained(tmp_path / name)
        stream(layout, base, found, TODAY + HALF_HOUR)
        worker = OnlineWorker(layout, base, "events", 0, small_settings())
        for idle in range(2, 8):
            ShardWriter(layout).append([], TODAY + idle * HALF_HOUR // 2)
            if name == "followed" or (name == "started twice" and idle == 5):
                worker.advance()
        if name != "followed":
            worker.close()
            worker = OnlineWorker(layout, base, "events", 0, small_settings())
            worker.advance()
        worker.close()
        contents.append(delta_contents(layout, base))
    assert [content.body.watermark - TODAY for content in contents[0]] == [HALF_HOUR, 2 * HALF_HOUR, 3 * HALF_HOUR]
    assert contents[1] == contents[2] == contents[0]


def test_a_base_of_more_than_900_half_lives_is_refused_and_its_deltas_stay(tmp_path: Path) -> None:
    layout, base = trained(tmp_path, half_life_ms=600_000)
    daily = small_settings().model_copy(update={"publish_interval_ms": DAY_MS})
    late = msgspec.structs.replace(
        click("u1.0", "i1.1", TODAY + 6 * DAY_MS + 9 * HALF_HOUR), ordinal=base.manifest.cut[0]
    )
    ShardWriter(layout).append([late], TODAY + 6 * DAY_MS + 12 * HALF_HOUR)
    assert fold(layout, base, daily) == 1
    ShardWriter(layout).append([], TODAY + 7 * DAY_MS)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"too old: at 2025-01-14 00:00:00 more than 900 half-lives") as refused:
            fold(layout, base, daily)
        assert "retrain" in refused.value.hint
    assert [content.body.watermark for content in delta_contents(layout, base)] == [
        TODAY + day * DAY_MS for day in range(1, 7)
    ]


def test_a_delta_holds_only_what_changed(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    found = [click("u1.0", "i1.1", TODAY + 1000), click("u2.0", "i2.2", TODAY + HALF_HOUR + 1000)]
    stream(layout, base, found, TODAY + 2 * HALF_HOUR)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    first, second = (deltas.read(chain, entry) for entry in chain.entries())
    assert (set(first.rows), set(first.trend)) == ({"u1.0"}, {"i1.1"})
    assert (set(second.rows), set(second.trend)) == ({"u2.0"}, {"i2.2"})
    assert second.common_samples == 2


def test_the_digest_changes_with_the_state_and_not_with_the_way_there(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    untouched = online_digest(layout, base, 0)
    stream(layout, base, [click("u1.0", "i1.1", TODAY + 1000)])
    assert online_digest(layout, base, 0) != untouched
    again, again_base = trained(tmp_path / "again")
    ShardWriter(again).append([], TODAY + 100)
    stream(again, again_base, [click("u1.0", "i1.1", TODAY + 1000)])
    assert online_digest(again, again_base, 0) == online_digest(layout, base, 0)


def test_shards_of_another_log_are_refused(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    other = replace(base, manifest=msgspec.structs.replace(base.manifest, topic_id="another"))
    with pytest.raises(LogChanged, match="another"):
        OnlineWorker(layout, other, "events", 0, small_settings())


def test_deltas_of_another_base_under_the_same_name_are_refused(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    stream(layout, base, [click("u1.0", "i1.1", TODAY + 1000)])
    other = replace(base, digest="0" * 64)
    with pytest.raises(WrongParent):
        OnlineWorker(layout, other, "events", 0, small_settings())
    with pytest.raises(WrongParent):
        overlay(layout, other, 0)


@pytest.mark.parametrize(("topic", "partition"), [("clicks", 0), ("events", 1)])
def test_a_topic_or_partition_that_the_base_does_not_have_is_refused(
    tmp_path: Path, topic: str, partition: int
) -> None:
    layout, base = trained(tmp_path)
    with pytest.raises(UsageError, match="is of topic 'events' with 1 partitions"):
        OnlineWorker(layout, base, topic, partition, small_settings())


def test_a_publish_interval_that_splits_the_bases_blocks_is_refused(tmp_path: Path) -> None:
    layout, base = trained(tmp_path)
    settings = small_settings().model_copy(update={"publish_interval_ms": 1_000_000})
    with pytest.raises(UsageError, match="no multiple"):
        OnlineWorker(layout, base, "events", 0, settings)
    assert BaseStore(layout).ids() == [base.manifest.base_id]
