"""Rollback (law 9): answers exactly as that version did, and the next publish goes on without the held deltas."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import served
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.errors import MissingInput, NothingServed, UsageError, WrongParent
from contracts.layout import Layout
from contracts.rollback import rollback
from contracts.served import Hold, Served
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import Tiny, append_delta, append_round, random_changes, tiny_base

USERS = [*(f"u{n}" for n in range(20)), *(f"new{n}" for n in range(10)), "nobody"]
EXACT = ServingSettings(search="exact")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    """Return a base served in four versions: 1 is the base alone, each later one has one delta more."""
    made = tiny_base(layout)
    for seed in range(4):
        if seed:
            append_round(layout, made, seed)
        publish(layout)
    return made


def publish(layout: Layout, base_id: str | None = None) -> Entry[Served] | None:
    return publish_once(layout, PublisherSettings(), Order("someone", "a test", base_id))


def answers(retriever: Retriever) -> list[object]:
    return [(a.user_id, a.how, a.delta, a.clicks, a.age_ms, a.items) for u in USERS for a in [retriever.retrieve(u, 9)]]


def fresh_answers(layout: Layout) -> list[object]:
    return answers(Retriever(layout, EXACT))


def shown(layout: Layout) -> list[list[int]]:
    head = served.head(layout)
    assert head is not None
    return [served.included(head.body, partition) for partition in (0, 1)]


def test_a_rollback_answers_exactly_as_that_version_did(layout: Layout) -> None:
    made = tiny_base(layout)
    told = {}
    for seed in range(4):
        if seed:
            append_round(layout, made, seed)
        publish(layout)
        told[seed + 1] = fresh_answers(layout)
    reader = Retriever(layout, EXACT)
    for to in (2, 1, 3, 4):
        entry = rollback(layout, to, "someone", "it was better")
        assert reader.refresh()
        assert answers(reader) == told[to]
        assert fresh_answers(layout) == told[to]
        assert (entry.body.action, entry.body.content_of, entry.body.why) == ("rollback", to, "it was better")


def test_the_next_publish_goes_on_without_the_held_deltas(layout: Layout, base: OpenBase) -> None:
    reader = Retriever(layout, EXACT)
    entry = rollback(layout, 2, "someone", "bad")
    assert entry.body.holds == (Hold(0, 2, 3), Hold(1, 2, 3))
    assert publish(layout) is None
    append_round(layout, base, 4)
    publish(layout)
    assert shown(layout) == [[1, 4], [1, 4]]
    reader.refresh()
    assert answers(reader) == fresh_answers(layout)
    append_round(layout, base, 5)
    publish(layout)
    assert shown(layout) == [[1, 4, 5], [1, 4, 5]]


def test_a_publish_after_a_rollback_does_not_move_a_partition_that_has_only_held_deltas(
    layout: Layout, base: OpenBase
) -> None:
    rollback(layout, 2, "someone", "bad")
    append_delta(layout, base, 0, random_changes(base, 0, 4))
    entry = publish(layout)
    assert entry is not None
    assert [position.delta for position in entry.body.positions] == [4, 1]
    assert shown(layout) == [[1, 4], [1]]


def test_a_rollback_of_a_rollback_serves_the_later_content_again(layout: Layout, base: OpenBase) -> None:
    rollback(layout, 2, "someone", "bad")
    rollback(layout, 4, "someone", "it was good after all")
    assert shown(layout) == [[1, 2, 3], [1, 2, 3]]
    append_round(layout, base, 4)
    publish(layout)
    assert shown(layout) == [[1, 2, 3, 4], [1, 2, 3, 4]]


def test_a_rollback_to_a_version_after_a_rollback_keeps_the_older_holds(layout: Layout, base: OpenBase) -> None:
    rollback(layout, 2, "someone", "bad")  # version 5
    append_round(layout, base, 4)
    publish(layout)  # version 6: 1, 4
    append_round(layout, base, 5)
    publish(layout)  # version 7: 1, 4, 5
    rollback(layout, 6, "someone", "bad again")
    assert shown(layout) == [[1, 4], [1, 4]]
    append_round(layout, base, 6)
    publish(layout)
    assert shown(layout) == [[1, 4, 6], [1, 4, 6]]


def test_a_rollback_to_another_base_holds_what_was_served_on_it_since(layout: Layout, base: OpenBase) -> None:
    told = fresh_answers(layout)
    other = tiny_base(layout, Tiny("other", seed=1))
    publish(layout, "other")  # version 5
    append_round(layout, other, 1)
    publish(layout)
    entry = rollback(layout, 4, "someone", "the old base was better")
    assert (entry.body.base_id, entry.body.holds) == ("tiny", ())
    assert fresh_answers(layout) == told
    append_round(layout, base, 4)
    publish(layout)
    assert shown(layout) == [[1, 2, 3, 4], [1, 2, 3, 4]]


def test_holds_outlive_a_cut_over_to_another_base_and_back(layout: Layout, base: OpenBase) -> None:
    rollback(layout, 2, "someone", "bad")
    tiny_base(layout, Tiny("other", seed=1))
    publish(layout, "other")
    append_round(layout, base, 4)
    publish(layout, "tiny")
    assert shown(layout) == [[1, 4], [1, 4]]


def test_a_version_that_does_not_exist_is_named_with_the_range(layout: Layout, base: OpenBase) -> None:
    for to in (5, 99):
        with pytest.raises(UsageError, match=f"there is no version {to}") as raised:
            rollback(layout, to, "someone", "bad")
        assert "1 to 4" in raised.value.hint


def test_a_rollback_to_what_is_served_is_refused(layout: Layout, base: OpenBase) -> None:
    with pytest.raises(UsageError, match="version 4 is what is served"):
        rollback(layout, 4, "someone", "bad")
    rollback(layout, 2, "someone", "bad")
    with pytest.raises(UsageError, match="version 2 is what is served"):
        rollback(layout, 2, "someone", "bad")


def test_a_rollback_to_a_base_that_is_gone_is_refused(layout: Layout, base: OpenBase) -> None:
    tiny_base(layout, Tiny("other", seed=1))
    publish(layout, "other")
    layout.base("tiny").rename(layout.root / "elsewhere")
    with pytest.raises(MissingInput, match="no base 'tiny'"):
        rollback(layout, 4, "someone", "bad")
    tiny_base(layout, Tiny("tiny", seed=7))
    with pytest.raises(WrongParent, match="not the one that version 4 served"):
        rollback(layout, 4, "someone", "bad")


def test_a_rollback_before_the_first_publish_says_so(layout: Layout) -> None:
    with pytest.raises(NothingServed):
        rollback(layout, 1, "someone", "bad")


def test_the_chain_of_served_manifests_stays_whole(layout: Layout, base: OpenBase) -> None:
    rollback(layout, 1, "someone", "bad")
    append_round(layout, base, 4)
    publish(layout)
    assert served.chain(layout).verify() == 6
