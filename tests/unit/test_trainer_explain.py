"""An explanation is a fold of the log, ends in the bits of the deltas, and takes step and answer apart."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas, features, trend
from contracts.bases import OpenBase
from contracts.errors import ChainBroken, MissingInput, UsageError
from contracts.events import Context
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.samples import Sample
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import serve
from tests.support.shards import Log, ShardWriter, click
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import fold, small_settings, train
from trainer.digest import overlay
from trainer.explain import Question, explain
from trainer.explain_answer import cause
from trainer.explain_block import UserBlock
from trainer.explain_fold import Route, watch
from trainer.explanation import Click, Explanation

TODAY, HALF_HOUR, BUCKET = MIDNIGHT + DAY_MS, 1_800_000, 300_000
TASTES, BOTH = Tastes(), Log(partitions=2)


def trained(root: Path, **online: float) -> OpenBase:
    """A base on the first day, and the shards of that day alone."""
    layout = Layout(root)
    write_tastes(layout, replace(TASTES, days=1))
    return train(layout, settings=small_settings(online=online))


def append(base: OpenBase, found: list[Sample], end: int = TODAY + HALF_HOUR) -> None:
    """Commit samples after the first day in one shard."""
    first = base.manifest.cut[0]
    numbered = [msgspec.structs.replace(sample, ordinal=first + n) for n, sample in enumerate(found)]
    ShardWriter(base.layout).append(numbered, end)


def explained(base: OpenBase, user: str, until: int | None = None, k: int = 10, last: int = 1000) -> Explanation:
    question = Question(base, user, until, k, last, HALF_HOUR)
    return explain(question, lambda what, done, total: None)


def blocks(base: OpenBase, user: str) -> list[UserBlock]:
    """What was done to a row, as arrays."""
    manifest = base.manifest
    partition = partition_of(user, manifest.partitions)
    entries = list(deltas.chain(base.layout, manifest.base_id, partition).entries())
    route = Route(base, partition, user, [entry.body.watermark for entry in entries], entries)
    return [block for _, block in watch(route, lambda reached: None).blocks]


def outcomes(found: list[Click]) -> list[tuple[str, str]]:
    return [(each.outcome, each.reason) for each in found]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> OpenBase:
    """A base and a second day of two partitions that a real worker has folded."""
    layout = Layout(tmp_path_factory.mktemp("worked"))
    write_tastes(layout, TASTES, BOTH)
    base = train(layout)
    fold(layout, base)
    return base


@pytest.mark.parametrize("user", ["u1.0", "u2.0", "u5.1", "u10.1"])
@pytest.mark.parametrize("hours", [0, 1, 7, 13, 24])
def test_the_explanation_of_a_real_workers_run_ends_in_exactly_the_bits_of_the_delta(
    worked: OpenBase, user: str, hours: int
) -> None:
    until = TODAY + hours * 3_600_000
    partition = partition_of(user, 2)
    chain = deltas.chain(worked.layout, worked.manifest.base_id, partition)
    entries = [entry for entry in chain.entries() if entry.body.watermark <= until]
    state = deltas.compacted(deltas.read(chain, entry) for entry in entries)
    row = (state.rows.get(user) if state else None) or worked.rows.get(user)
    seen = watch(Route(worked, partition, user, [e.body.watermark for e in entries], entries), lambda reached: None)
    assert seen.differs == ""
    assert seen.delta == len(entries) == 2 * hours
    assert (seen.row is None) == (row is None)
    if row and seen.row:
        assert seen.row.own.tobytes() == row.own.tobytes()
        assert seen.row == row
    assert seen.common.tobytes() == (state.common if state else worked.common).tobytes()


def test_a_run_that_died_moved_house_and_changed_its_interval_folds_to_the_same_bits(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, TASTES)
    base, hourly = train(layout), small_settings().model_copy(update={"publish_interval_ms": 2 * HALF_HOUR})
    for hours, settings in ((5, small_settings()), (9, hourly), (16, small_settings()), (24, hourly)):
        fold(layout, base, settings, until=TODAY + hours * 3_600_000 + 1234)
        if hours != 9:
            shutil.rmtree(layout.trainer_state(base.manifest.base_id, 0))
    found = explained(base, "u7.0")
    assert (found.delta, found.differs) == (10 + 4 + 14 + 8, "")


def test_every_click_of_a_user_is_told_once_with_its_place_in_the_log(worked: OpenBase) -> None:
    user = "u7.0"
    found = explained(worked, user)
    samples = [sample for sample in TASTES.samples() if sample.user_id == user]
    today = [sample for sample in samples if sample.event_time >= TODAY]
    assert [(c.event_time, c.item_id) for c in found.clicks] == [(s.event_time, s.item_id) for s in today]
    partition = partition_of(user, 2)
    assert all((c.topic, c.partition, c.offset) == ("events", partition, c.ordinal) for c in found.clicks)
    assert sum(found.outcomes.values()) == len(today)
    assert found.row is not None
    assert found.base_row is not None
    assert found.row.clicks - found.base_row.clicks == len(today)
    chain = deltas.chain(worked.layout, worked.manifest.base_id, partition)
    for told in found.clicks:
        body = chain.read(told.delta).body
        assert body.first_ordinal <= told.ordinal < body.next_ordinal


def test_only_the_last_clicks_are_told_and_all_are_counted(worked: OpenBase) -> None:
    whole, part = explained(worked, "u7.0"), explained(worked, "u7.0", last=3)
    assert part.clicks == whole.clicks[-3:]
    assert part.outcomes == whole.outcomes


@pytest.mark.parametrize("user", ["u1.0", "u5.1", "u7.0"])
def test_the_parts_of_the_clicks_add_up_to_the_step_of_their_block(worked: OpenBase, user: str) -> None:
    found = blocks(worked, user)
    assert any(block.after.any() for block in found)
    for block in found:
        assert block.before + block.parts.sum(axis=0) == pytest.approx(block.after, abs=2e-6)


def test_several_clicks_in_one_block_have_each_their_own_part(tmp_path: Path) -> None:
    base = trained(tmp_path)
    items = [base.items.ids[3], base.items.ids[40], "nothing known"]
    append(base, [click("u1.0", item, TODAY + 1000 + n) for n, item in enumerate(items)])
    fold(base.layout, base)
    (block,) = blocks(base, "u1.0")
    assert block.parts.sum(axis=0) == pytest.approx(block.after - block.before, abs=1e-6)
    assert not block.parts[2].any()
    assert not np.allclose(block.parts[0], block.parts[1])
    found = explained(base, "u1.0").clicks
    assert outcomes(found) == [("learned", ""), ("learned", ""), ("trend only", "")]
    assert {(each.block, each.block_clicks) for each in found} == {(base.manifest.cut[0], 3)}
    first, second, third = found
    assert (first.cosine or 0) > 0.3 < (second.cosine or 0)
    assert (third.moved, third.cosine, third.fit) == (0, None, None)
    assert first.block_moved == pytest.approx(float(np.linalg.norm(block.after - block.before)))


def test_a_learned_click_lifts_its_item_for_this_user(tmp_path: Path) -> None:
    base = trained(tmp_path, own_step=0.5)
    item = base.items.ids[3]
    append(base, [click("u1.0", item, TODAY + 1000)])
    fold(base.layout, base)
    (found,) = explained(base, "u1.0").clicks
    assert found.fit is not None
    assert found.fit.score_after > found.fit.score_before + 0.1
    assert found.fit.rank_after <= found.fit.rank_before


def test_score_and_rank_of_a_click_are_those_of_all_items_before_and_after_the_step(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, replace(TASTES, days=1, with_context=False))
    base = train(layout, settings=small_settings(online={"common_step": 0.0, "own_step": 0.5}))
    item, time = base.items.ids[3], TODAY + 1000
    append(base, [click("u1.0", item, time)])
    fold(layout, base)
    found = explained(base, "u1.0")
    (told,), online = found.clicks, base.manifest.online
    assert told.fit is not None
    counts = np.array([base.trend.get(each, 0.0) for each in base.items.ids])
    prior = trend.prior(trend.decayed(counts, time, TODAY, online.half_life_ms), online.beta, online.floor)
    state, _ = overlay(layout, base, 0)
    assert state is not None
    for own, score, rank in (
        (base.rows["u1.0"].own, told.fit.score_before, told.fit.rank_before),
        (state.rows["u1.0"].own, told.fit.score_after, told.fit.rank_after),
    ):
        h = (base.common + own).astype(np.float64)
        scores = base.items.vectors @ (h / np.linalg.norm(h) / base.manifest.towers.temperature) + prior
        assert score == pytest.approx(scores[3], abs=1e-4)
        assert rank == 1 + np.count_nonzero(np.delete(scores, 3) > scores[3])


def test_a_step_that_the_cap_cuts_is_told(tmp_path: Path) -> None:
    base = trained(tmp_path, norm_cap=1e-3)
    append(base, [click("u1.0", base.items.ids[3], TODAY + 1000)])
    fold(base.layout, base)
    found = explained(base, "u1.0")
    assert [each.capped for each in found.clicks] == [True]
    assert found.row is not None
    assert found.row.length == pytest.approx(1e-3)


def test_what_the_guards_set_aside_is_told_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "MAX_DEVIATIONS", math.inf)  # the guard before this one is off
    base = trained(tmp_path, most_clicks=2)
    item, poisoned = base.items.ids[3], Context({"device": "phone"}, {"hour": 3e38})
    found = [click("u1.0", item, TODAY + 1000 + n) for n in range(4)]
    found.insert(1, click("u1.0", item, TODAY + 1000, poisoned))
    append(base, found)
    fold(base.layout, base)
    told = explained(base, "u1.0")
    learned, burst = ("learned", ""), ("set aside", "burst")
    assert outcomes(told.clicks) == [learned, ("set aside", "context"), learned, burst, burst]
    assert told.outcomes == {"learned": 2, "set aside": 3}
    (body,) = [entry.body for entry in deltas.chain(base.layout, base.manifest.base_id, 0).entries()]
    assert body.reasons == {"burst": 2, "context": 1}


def test_a_user_who_waits_for_a_row_is_told_how_many_clicks_are_missing_and_the_click_that_gave_it(
    tmp_path: Path,
) -> None:
    base = trained(tmp_path, admit_after=3)
    append(base, [click("new", base.items.ids[n], TODAY + n * BUCKET) for n in range(2)])
    fold(base.layout, base)
    waiting = explained(base, "new")
    assert outcomes(waiting.clicks) == [("not admitted", "")] * 2
    assert (waiting.row, waiting.waiting_clicks, waiting.admit_after) == (None, 2, 3)
    third = click("new", base.items.ids[2], TODAY + HALF_HOUR)
    ShardWriter(base.layout).append(
        [msgspec.structs.replace(third, ordinal=base.manifest.cut[0] + 2)], TODAY + 2 * HALF_HOUR
    )
    fold(base.layout, base)
    admitted = explained(base, "new")
    assert [each.admitted for each in admitted.clicks] == [False, False, True]
    assert outcomes(admitted.clicks)[2] == ("learned", "")
    assert admitted.row is not None
    assert (admitted.row.clicks, admitted.waiting_clicks, admitted.differs) == (3, 0, "")


def test_a_row_that_was_let_go_is_told_with_the_boundary(tmp_path: Path) -> None:
    base = trained(tmp_path, row_ttl_ms=DAY_MS, half_life_ms=3_600_000, admit_after=2)
    times = [TODAY + 1000, TODAY + 2000, TODAY + DAY_MS + 2 * HALF_HOUR]
    append(base, [click("new", base.items.ids[3], time) for time in times], TODAY + DAY_MS + 4 * HALF_HOUR)
    fold(base.layout, base)
    found = explained(base, "new")
    assert (found.row, found.expired, found.differs) == (None, [TODAY + DAY_MS + HALF_HOUR], "")
    assert outcomes(found.clicks) == [("learned", ""), ("learned", ""), ("not admitted", "")]
    assert found.waiting_clicks == 1


def test_clicks_that_no_delta_holds_yet_are_told_as_such(tmp_path: Path) -> None:
    base = trained(tmp_path)
    item = base.items.ids[3]
    append(
        base, [click("u1.0", item, TODAY + 1000), click("u1.0", item, TODAY + HALF_HOUR + 1000)], TODAY + DAY_MS // 2
    )
    fold(base.layout, base, until=TODAY + HALF_HOUR)
    found = explained(base, "u1.0")
    assert outcomes(found.clicks) == [("learned", ""), ("in no delta", "")]
    assert [each.delta for each in found.clicks] == [1, 0]
    assert (found.delta, found.watermark, found.differs) == (1, TODAY + HALF_HOUR, "")
    assert found.seen_ordinal == found.next_ordinal + 1


def test_without_any_delta_the_way_of_a_worker_to_come_is_folded(tmp_path: Path) -> None:
    base = trained(tmp_path)
    append(base, [click("u1.0", base.items.ids[3], TODAY + 1000)], TODAY + HALF_HOUR + 5)
    before = explained(base, "u1.0")
    assert (before.delta, before.watermark) == (0, TODAY + HALF_HOUR)
    fold(base.layout, base)
    after = explained(base, "u1.0")
    assert after.delta == 1
    assert (after.row, after.answer, after.moved) == (before.row, before.answer, before.moved)


def test_a_user_without_a_click_since_the_cut_is_explained_by_the_base_alone(tmp_path: Path) -> None:
    base = trained(tmp_path)
    append(base, [click("u2.0", base.items.ids[3], TODAY + 1000)])
    fold(base.layout, base)
    found = explained(base, "u1.0")
    assert found.clicks == []
    assert found.row == found.base_row
    assert found.moved == 0
    assert found.answer.steps["own row"] == found.answer.steps["common row"]


def test_an_unknown_user_is_refused_with_what_was_looked_at(worked: OpenBase) -> None:
    with pytest.raises(MissingInput) as refused:
        explained(worked, "nobody")
    partition = partition_of("nobody", 2)
    end = deltas.chain(worked.layout, worked.manifest.base_id, partition).head()
    assert end is not None
    said = str(refused.value)
    assert f"base {worked.manifest.base_id}" in said
    assert f"samples {worked.manifest.cut[partition]} to {end.body.next_ordinal} of partition {partition}" in said
    assert "streams inspect" in refused.value.hint


def test_a_time_before_the_base_is_refused(worked: OpenBase) -> None:
    with pytest.raises(UsageError, match="was cut at 2025-01-07 00:00:00, after --until"):
        explained(worked, "u1.0", until=TODAY - 1)


def flip_a_bit(base: OpenBase, user: str) -> None:
    """Write the deltas of a one-partition base anew, the row of `user` in the second one off by one bit."""
    chain = deltas.chain(base.layout, base.manifest.base_id, 0)
    found = [(entry.body, deltas.read(chain, entry)) for entry in chain.entries()]
    shutil.rmtree(chain.directory)
    for number, (body, changes) in enumerate(found, start=1):
        if number == 2:
            row = changes.rows[user]
            own = row.own.copy()
            own.view(np.uint32)[5] ^= 1
            changes.rows[user] = replace(row, own=own)
        data = {deltas.ROWS: deltas.encode(changes, body.width)}
        chain.create(chain.prepare(chain.head(), body, data))


def test_a_delta_whose_row_differs_in_a_single_bit_is_named(tmp_path: Path) -> None:
    base = trained(tmp_path)
    item = base.items.ids[3]
    append(base, [click("u1.0", item, TODAY + n * HALF_HOUR + 1000) for n in range(3)], TODAY + 3 * HALF_HOUR)
    fold(base.layout, base)
    assert explained(base, "u1.0").differs == ""
    flip_a_bit(base, "u1.0")
    found = explained(base, "u1.0")
    assert found.differs.startswith("delta 2: own row, in 1 of 16 numbers, by ")
    assert explained(base, "u1.0", until=TODAY + HALF_HOUR).differs == ""


def test_shards_that_end_before_the_deltas_are_refused(tmp_path: Path) -> None:
    base = trained(tmp_path)
    append(base, [click("u1.0", base.items.ids[3], TODAY + 1000)], TODAY + HALF_HOUR)
    fold(base.layout, base)
    sorted(base.layout.shards("events", 0).glob("*.json"))[-1].unlink()
    first = base.manifest.cut[0]
    with pytest.raises(ChainBroken, match=f"end at sample {first} .* before delta 1 does: at sample {first + 1}"):
        explained(base, "u1.0")


@pytest.mark.parametrize("user", ["u1.0", "u5.1", "u7.0", "u33.0"])
def test_the_answer_is_the_one_that_serving_gives(worked: OpenBase, user: str) -> None:
    if not worked.layout.served().exists():
        serve(worked.layout, worked)
    retriever = Retriever(worked.layout, ServingSettings(search="exact"))
    served = retriever.retrieve(user, 10)
    retriever.close()
    told = explained(worked, user).answer
    assert [item.item_id for item in told.items] == [item.item_id for item in served.items]
    assert [item.score for item in told.items] == pytest.approx([item.score for item in served.items], abs=1e-3)
    assert [item.parts.trend for item in told.items] == pytest.approx([i.trend for i in served.items], abs=1e-3)


def test_the_parts_of_a_score_add_up_to_it(worked: OpenBase) -> None:
    for item in explained(worked, "u7.0", k=50).answer.items:
        assert sum(msgspec.structs.astuple(item.parts)) == pytest.approx(item.score, abs=1e-4)
    moved = [item.parts.own_moved for item in explained(worked, "u7.0").answer.items]
    assert any(abs(part) > 1e-3 for part in moved)


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_bias_and_either_score_have_their_parts(tmp_path: Path, score: str) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, TASTES)
    base = train(layout, settings=small_settings(towers={"score": score}, online={"bias_weight": 0.5}))
    fold(layout, base)
    found = explained(base, "u7.0")
    assert found.differs == ""
    for item in found.answer.items:
        assert sum(msgspec.structs.astuple(item.parts)) == pytest.approx(item.score, abs=1e-4)
        assert item.parts.bias == pytest.approx(0.5 * base.items.biases[base.items.ids.index(item.item_id)], abs=1e-5)
    for block in blocks(base, "u7.0"):
        assert block.before + block.parts.sum(axis=0) == pytest.approx(block.after, abs=2e-6)


def test_who_came_and_who_left_is_told_with_the_cause(worked: OpenBase) -> None:
    answer = explained(worked, "u7.0").answer
    night, now = set(answer.steps["night"]), {item.item_id for item in answer.items}
    assert {item.item_id for item in answer.items if item.by} == now - night
    assert {item.item_id for item in answer.left} == night - now
    assert all(item.by for item in answer.left)
    names = list(answer.steps)
    for item in answer.items:
        if item.by:
            at = names.index(item.by)
            assert item.item_id in answer.steps[names[at]]
            assert item.item_id not in answer.steps[names[at - 1]]


def test_of_several_steps_that_take_an_item_in_or_out_the_last_one_is_named() -> None:
    tops = (["a", "c"], ["b", "c"], ["a", "c"], ["b", "c"], ["b", "c"])
    assert [cause(tops, item) for item in "abc"] == ["common row", "common row", ""]


def test_what_only_the_trend_moves_is_brought_by_the_trend(tmp_path: Path) -> None:
    base = trained(tmp_path, own_step=0.0, common_step=0.0)
    hot = base.items.ids[7]
    append(base, [click(f"n{n}", hot, TODAY + 1000 + n) for n in range(200)])
    fold(base.layout, base)
    answer = explained(base, "u1.0").answer
    assert answer.items[0].item_id == hot
    assert {item.by for item in answer.items} <= {"", "trend"}
    assert answer.steps["trend"] == answer.steps["common row"] == answer.steps["own row"]


def test_a_trending_item_without_a_vector_stands_in_the_answer(tmp_path: Path) -> None:
    base = trained(tmp_path)
    append(base, [click(f"n{n}", "breaking", TODAY + 1000 + n) for n in range(100)])
    fold(base.layout, base)
    item = next(item for item in explained(base, "u1.0").answer.items if item.item_id == "breaking")
    assert (item.known, item.by, item.rank_night) == (False, "trend", None)
    assert sum(msgspec.structs.astuple(item.parts)) == pytest.approx(item.score, abs=1e-4)


def test_what_the_user_clicked_since_left_because_it_is_hidden(tmp_path: Path) -> None:
    base = trained(tmp_path)
    best = explained(base, "u1.0").answer.items[0].item_id
    append(base, [click("u1.0", best, TODAY + 1000)])
    fold(base.layout, base)
    (left,) = [item for item in explained(base, "u1.0").answer.left if item.item_id == best]
    assert (left.rank_night, left.rank_now, left.by) == (1, None, "ring")


def test_explaining_changes_nothing_on_disk(worked: OpenBase) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(worked.layout.root.rglob("*")) if path.is_file()}

    before = files()
    explained(worked, "u1.0")
    assert files() == before
    assert overlay(worked.layout, worked, 0)[1] is not None
