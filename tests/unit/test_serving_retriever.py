"""The retriever: whole versions, exclusions, and where an answer comes from."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from contracts import deltas, served
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.deltas import Changes
from contracts.errors import Corrupt, NothingServed, UsageError, WrongParent
from contracts.events import Context
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.rollback import rollback
from contracts.rows import Row
from contracts.served import Served
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.answer import Answer, Query
from serving.retriever import Retriever
from serving.settings import Arm, ServingSettings
from serving.view_builder import ViewBuilder
from tests.support.bases import CUT, MINUTE, Tiny, append_delta, append_round, random_changes, serve, tiny_base, unit

EXACT = ServingSettings(search="exact")
USERS = [*(f"u{n}" for n in range(20)), *(f"new{n}" for n in range(10))]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


def content(answer: Answer) -> tuple[object, ...]:
    """Return everything of an answer but what differs from call to call."""
    return answer.user_id, answer.how, answer.delta, answer.clicks, answer.age_ms, answer.items


def test_before_the_first_publish_nothing_answers_and_the_error_says_what_to_do(layout: Layout) -> None:
    with pytest.raises(NothingServed) as raised:
        Retriever(layout, EXACT)
    assert (raised.value.exit_code, "freshet publish once" in raised.value.hint) == (2, True)


def test_an_answer_names_version_base_row_and_age(layout: Layout, base: OpenBase) -> None:
    user = "u1"
    partition = partition_of(user, 2)
    row = Row(unit(np.random.default_rng(1), 8), 12, CUT + 10 * MINUTE, ("i3",))
    append_delta(layout, base, partition, Changes(base.common, 1, {user: row}))
    serve(layout, base)
    answer = Retriever(layout, EXACT).retrieve(user, 5)
    assert (answer.user_id, answer.version, answer.base_id, answer.partition) == (user, 1, "tiny", partition)
    assert (answer.how, answer.delta, answer.clicks, answer.age_ms) == ("own row", 1, 12, 20 * MINUTE)
    assert answer.search == "exact"
    assert list(answer.milliseconds) == ["rows", "tower", "search", "join"]
    assert len(answer.items) == 5
    assert [item.score for item in answer.items] == sorted((item.score for item in answer.items), reverse=True)


def test_an_unknown_user_is_answered_by_the_common_row_and_told_so(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    answer = Retriever(layout, EXACT).retrieve("never seen", 5)
    assert (answer.how, answer.delta, answer.clicks, answer.age_ms) == ("common row", 0, 0, None)
    assert len(answer.items) == 5


def test_clicked_items_never_come_back(layout: Layout, base: OpenBase) -> None:
    for seed in range(1, 6):
        append_round(layout, base, seed)
    serve(layout, base)
    view = Retriever(layout, EXACT).view
    for user in USERS:
        ring = set(view.users.user(user).ring)
        for k in (1, 10, 1000):
            assert not ring & {item.item_id for item in view.retrieve(user, k).items}
    assert any(view.users.user(user).ring for user in USERS)


def test_a_clicked_item_without_a_vector_does_not_come_back_either(layout: Layout, base: OpenBase) -> None:
    partition = partition_of("u1", 2)
    trend = {"fresh1": 1e6, "fresh2": 1e5}
    append_delta(
        layout, base, partition, Changes(base.common, 1, {"u1": Row(base.common, 1, CUT, ("fresh1",))}, trend=trend)
    )
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    assert retriever.retrieve("u1", 1).items[0].item_id == "fresh2"
    assert retriever.retrieve("u2", 2).items[0].item_id == "fresh1"


def test_an_item_unknown_to_the_base_is_scored_at_the_mean_fit_of_trending_ones(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, Changes(base.common, 1, trend={"fresh": 1e6}))
    serve(layout, base)
    view = Retriever(layout, EXACT).view
    (item,) = view.retrieve("u1", 1).items
    (vector,) = view.parts.tower.vectors(view.users.user("u1").id_embedding[np.newaxis], [Context()])
    rows = [base.items.ids.index(trending) for trending in base.trend]
    fits = base.items.vectors[rows] @ vector + 0.5 * base.items.biases[rows]
    fit = np.average(fits, weights=[clicks / 2 + 0.3 for clicks in base.trend.values()])
    assert item.item_id == "fresh"
    assert item.trend == pytest.approx(np.log(1e6 / 2 + 0.3))
    assert item.score == pytest.approx(item.trend + fit, abs=1e-4)


def test_a_common_row_that_fits_everybody_better_does_not_push_out_an_item_without_a_vector(
    layout: Layout, base: OpenBase
) -> None:
    liked = base.items.vectors[7]
    # What is clicked now lies together, and the common row goes there.
    near = np.argsort(-base.items.vectors @ liked)[:10]
    clicks = {**{base.items.ids[row]: 1e5 for row in near}, "fresh": 2e5}
    append_delta(layout, base, 0, Changes(liked * np.float32(1e3), 1, trend=clicks))
    append_delta(layout, base, 1, Changes(liked * np.float32(1e3), 1))
    serve(layout, base)
    items = Retriever(layout, EXACT).retrieve("nobody", 8).items
    assert "fresh" in [item.item_id for item in items]


def test_more_items_than_there_are_gives_all_but_the_clicked(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    answer = Retriever(layout, EXACT).retrieve("u1", 1000)
    assert len(answer.items) == 40 - len(set(base.rows["u1"].ring))


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_k_out_of_range_is_refused(layout: Layout, base: OpenBase, k: int) -> None:
    serve(layout, base)
    with pytest.raises(UsageError, match=f"k is {k}"):
        Retriever(layout, EXACT).retrieve("u1", k)


def test_a_batch_answers_as_one_by_one_does(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 1)
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    contexts = [Context({"device": ("phone", "desktop", "")[n % 3]}, {"hour": n}) for n in range(len(USERS))]
    queries = [Query(user, context) for user, context in zip(USERS, contexts, strict=True)]
    for query, answer in zip(queries, retriever.retrieve_many(queries, 10), strict=True):
        single = retriever.retrieve(query.user_id, 10, query.context)
        assert [item.item_id for item in answer.items] == [item.item_id for item in single.items]
        assert np.allclose([i.score for i in answer.items], [i.score for i in single.items], atol=1e-4)
    assert retriever.retrieve_many([], 10) == []


def test_the_context_changes_the_answer(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    plain, other = (retriever.retrieve("u1", 5, c) for c in (Context(), Context({"country": "US"}, {"hour": 99.0})))
    assert plain.items != other.items


def test_refresh_takes_the_newest_version_and_says_whether_there_was_one(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    assert not retriever.refresh()
    for seed in (1, 2, 3):
        append_round(layout, base, seed)
        serve(layout, base)
    assert retriever.refresh()
    assert retriever.view.version == 4
    assert not retriever.refresh()


def test_refresh_shares_base_tower_and_search_with_the_former_view(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    former = retriever.view
    append_round(layout, base, 1)
    serve(layout, base)
    retriever.refresh()
    assert retriever.view.parts is former.parts


def test_a_view_that_somebody_holds_goes_on_answering_as_it_did(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    held, told = retriever.view, [content(retriever.retrieve(user, 9)) for user in USERS]
    append_round(layout, base, 1)
    serve(layout, base)
    retriever.refresh()
    assert [content(held.retrieve(user, 9)) for user in USERS] == told
    assert [content(retriever.retrieve(user, 9)) for user in USERS] != told


def test_a_reader_follows_a_cut_over_to_another_base(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    serve(layout, tiny_base(layout, Tiny("other", items=7, width=6, seed=1)))
    retriever.refresh()
    answer = retriever.retrieve("nobody", 1000)
    assert (answer.base_id, answer.version, len(answer.items)) == ("other", 2, 7)


def test_a_damaged_new_version_is_named_and_the_old_one_goes_on_answering(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    entry = append_delta(layout, base, 0, random_changes(base, 0, 1))
    path = layout.deltas("tiny", 0) / entry.files[0].name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    serve(layout, base)
    with pytest.raises(Corrupt, match=str(path)):
        retriever.refresh()
    assert retriever.retrieve("u1", 3).version == 1
    path.write_bytes(whole)
    assert retriever.refresh()
    assert retriever.retrieve("u1", 3).version == 2


def test_a_base_that_was_replaced_on_disk_is_refused(layout: Layout, base: OpenBase, tmp_path: Path) -> None:
    serve(layout, base)
    other = tiny_base(Layout(tmp_path / "elsewhere"), Tiny(seed=9))
    for name in (*(file.name for file in other.manifest.files), "base.json"):
        (layout.base("tiny") / name).write_bytes((other.layout.base("tiny") / name).read_bytes())
    with pytest.raises(WrongParent, match="base tiny on disk is not the one that was published"):
        Retriever(layout, EXACT)


def test_the_frozen_control_does_not_move_with_the_deltas_but_excludes_what_is_excluded_now(
    layout: Layout, base: OpenBase
) -> None:
    serve(layout, base)
    retriever = Retriever(layout, EXACT)
    before = {user: retriever.frozen().retrieve(user, 1000).items for user in USERS}
    for seed in (1, 2, 3):
        append_round(layout, base, seed)
    serve(layout, base)
    retriever.refresh()
    for user in USERS:
        ring = retriever.view.users.user(user).ring
        now = {item.item_id: item.score for item in retriever.frozen().retrieve(user, 1000).items}
        assert not set(ring) & set(now)
        assert all(item.score == now[item.item_id] for item in before[user] if item.item_id not in ring)


def test_the_frozen_control_scores_as_the_base_was_trained_without_trend(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    frozen = Retriever(layout, EXACT).frozen()
    user = frozen.users.user("u1")
    (vector,) = frozen.parts.tower.vectors(user.id_embedding[np.newaxis], [Context()])
    for item in frozen.retrieve("u1", 10).items:
        row = base.items.ids.index(item.item_id)
        assert item.trend == 0.0
        assert item.score == pytest.approx(base.items.vectors[row] @ vector + base.items.biases[row], abs=1e-4)


def test_a_reader_during_50_publishes_sees_only_whole_versions_and_never_goes_back(
    layout: Layout, base: OpenBase
) -> None:
    settings = PublisherSettings()
    publish_once(layout, settings, Order("someone", "a test"))
    retriever, ended = Retriever(layout, EXACT), threading.Event()
    seen: list[list[Answer]] = [[], []]

    def read(mine: list[Answer]) -> None:
        for number in itertools.count():
            mine += retriever.retrieve_many([Query(USERS[number % len(USERS)]), Query(USERS[-1])], 10)
            if ended.wait(0.002):  # the publisher needs the interpreter too
                return

    readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for reader in readers:
        reader.start()
    for seed in range(1, 51):
        append_round(layout, base, seed)
        assert publish_once(layout, settings, Order("someone", "a test")) is not None
        assert retriever.refresh()
    ended.set()
    for reader in readers:
        reader.join()
    assert retriever.view.version == 51
    chain = served.chain(layout)
    for mine in seen:
        versions = [answer.version for answer in mine]
        assert versions == sorted(versions)
        assert len(set(versions)) > 5
    for number in {answer.version for mine in seen for answer in mine}:
        _check_whole(layout, chain.read(number), [a for mine in seen for a in mine if a.version == number])


def _check_whole(layout: Layout, entry: Entry[Served], answers: list[Answer]) -> None:
    """Every answer of a version is what a reader that opens this version alone says."""
    alone = ViewBuilder(layout, EXACT).view(entry)
    for answer in answers:
        partner = Query(USERS[-1])
        expected = alone.retrieve_many([Query(answer.user_id), partner], 10)[0]
        assert [item.item_id for item in answer.items] == [item.item_id for item in expected.items]
        assert np.allclose([i.score for i in answer.items], [i.score for i in expected.items], atol=1e-4)
        assert content(answer)[:-1] == content(expected)[:-1]


def test_a_rollback_to_a_recent_version_reads_no_delta_again(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PublisherSettings()
    retriever = None
    for seed in range(5):
        append_round(layout, base, seed)
        publish_once(layout, settings, Order("someone", "a test"))
        retriever = retriever or Retriever(layout, EXACT)
        retriever.refresh()
    assert retriever
    before = ViewBuilder(layout, EXACT).view(served.chain(layout).read(3))
    monkeypatch.setattr(deltas, "read_content", None)
    rollback(layout, 3, "someone", "a test")
    assert retriever.refresh()
    for user in USERS:
        assert content(retriever.retrieve(user, 10)) == content(before.retrieve(user, 10))


def test_arms_and_versions_on_one_base_share_it_and_a_base_that_nobody_answers_from_goes(layout: Layout) -> None:
    tiny_base(layout, Tiny("one"))
    tiny_base(layout, Tiny("two", seed=1, cut_watermark=CUT + 1))
    publish_once(layout, PublisherSettings(), Order("someone", "a test", "one"))
    retriever = Retriever(layout, ServingSettings(search="exact", arm=(Arm(name="old", share=0.5, serves=1),)))
    old, newest = retriever.line_up.others[0], retriever.view
    assert old.parts is newest.parts
    plain = Retriever(layout, EXACT)
    gone = weakref.ref(plain.view.parts.base)
    publish_once(layout, PublisherSettings(), Order("someone", "a test", "two"))
    append_round(layout, BaseStore(layout).open("two"), 1)
    assert plain.refresh()
    publish_once(layout, PublisherSettings(), Order("someone", "a test", "two"))
    assert plain.refresh()
    gc.collect()
    assert gone() is None
