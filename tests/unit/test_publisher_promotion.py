"""Promotion: what a publish shows, and when there is nothing to show."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest

from contracts import item_space, served
from contracts.bases import OpenBase
from contracts.chain import Chain, Entry
from contracts.errors import ChainTaken, MissingInput
from contracts.layout import Layout
from contracts.served import Position, Served, ServedChain
from publisher import item_index
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from tests.support.bases import CUT, MINUTE, Tiny, append_delta, append_round, random_changes, tiny_base

SETTINGS = PublisherSettings(milvus_uri="")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


def publish(layout: Layout, base_id: str | None = None) -> Entry[Served] | None:
    return publish_once(layout, SETTINGS, Order("someone", "a test", base_id))


def published(layout: Layout, base_id: str | None = None) -> Entry[Served]:
    entry = publish(layout, base_id)
    assert entry is not None
    return entry


def test_the_first_publish_serves_the_newest_base_at_its_cut(layout: Layout, base: OpenBase) -> None:
    tiny_base(layout, Tiny("an-older-one", cut_watermark=CUT - 1, seed=1))
    body = published(layout).body
    assert (body.base_id, body.base_digest) == ("tiny", base.digest)
    assert body.positions == (Position(0, 0, "", 100, CUT), Position(1, 0, "", 101, CUT))
    assert (body.trend_time, body.first_event_time, body.last_event_time) == (CUT, CUT, CUT)
    assert (body.action, body.content_of, body.who, body.why) == ("publish", 1, "someone", "a test")
    assert body.collections == (item_index.collection_name(base),)
    assert all(gate.passed and gate.detail for gate in body.gates)


def test_publishing_twice_equals_publishing_once(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 1)
    first = published(layout)
    assert publish(layout) is None
    assert publish(layout, base.manifest.base_id) is None
    head = served.head(layout)
    assert head is not None
    assert head.data == first.data


def test_a_publish_shows_every_delta_up_to_the_heads_of_the_chains(layout: Layout, base: OpenBase) -> None:
    published(layout)
    for seed in (1, 2):
        append_delta(layout, base, 0, random_changes(base, 0, seed))
    body = published(layout).body
    assert [(p.delta, p.next_ordinal, p.watermark) for p in body.positions] == [
        (2, 102, CUT + 60 * MINUTE),
        (0, 101, CUT),
    ]
    assert body.trend_time == CUT + 60 * MINUTE
    assert (body.first_event_time, body.last_event_time) == (CUT + MINUTE, CUT + 59 * MINUTE)


def test_a_delta_without_samples_is_published_because_its_watermark_moved(layout: Layout, base: OpenBase) -> None:
    published(layout)
    append_delta(layout, base, 0, random_changes(base, 0, 1, users=0), samples=0)
    body = published(layout).body
    assert body.trend_time == CUT + 30 * MINUTE
    assert body.last_event_time == CUT


def test_the_span_of_events_grows_over_versions(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 1)
    first = published(layout).body
    append_round(layout, base, 2)
    second = published(layout).body
    assert second.first_event_time == first.first_event_time
    assert second.last_event_time == first.last_event_time + 30 * MINUTE


def test_a_base_named_by_hand_is_a_cut_over_and_later_publishes_stay_on_it(layout: Layout, base: OpenBase) -> None:
    published(layout)
    other = tiny_base(layout, Tiny("other", seed=1))
    assert published(layout, "other").body.action == "cut_over"
    append_round(layout, base, 1)
    assert publish(layout) is None
    append_round(layout, other, 1)
    body = published(layout).body
    assert (body.base_id, body.action) == ("other", "publish")


def test_without_a_base_the_command_that_makes_one_is_named(layout: Layout) -> None:
    with pytest.raises(MissingInput) as raised:
        publish(layout)
    assert "freshet trainer retrain" in raised.value.hint
    with pytest.raises(MissingInput, match="'nowhere'"):
        publish(layout, "nowhere")


def test_items_that_were_verified_once_are_not_staged_again(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(layout)
    append_round(layout, base, 1)
    monkeypatch.setattr(item_index.ItemIndex, "__init__", lambda *_: pytest.fail("the vector store was opened"))
    assert published(layout).number == 2


def test_a_publish_stages_items_again_where_the_vector_store_was_deleted(layout: Layout, base: OpenBase) -> None:
    published(layout)
    for path in sorted(layout.item_store().rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    layout.item_store().rmdir()
    assert publish(layout) is None
    with item_index.ItemIndex(str(layout.item_store()), SETTINGS) as index:
        assert index.holds(item_index.collection_name(base), item_index.vectors_of(base))


def test_a_publisher_that_was_overtaken_decides_anew_on_top_of_the_other(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = published(layout).body
    append_round(layout, base, 1)
    create = Chain.create

    def overtaken(chain: ServedChain, entry: Entry[Served]) -> None:
        if chain.head_number() == 1:
            create(chain, chain.prepare(chain.head(), first, {}))  # version 2, with the content of version 1
        create(chain, entry)

    monkeypatch.setattr("contracts.chain.Chain.create", overtaken)
    entry = published(layout)
    assert (entry.number, entry.body.content_of, [p.delta for p in entry.body.positions]) == (3, 3, [1, 1])
    assert served.chain(layout).verify() == 3


def test_a_publisher_that_was_overtaken_by_the_same_content_adds_nothing(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(layout)
    append_round(layout, base, 1)
    create = Chain.create
    refused: list[int] = []

    def overtaken(chain: ServedChain, entry: Entry[Served]) -> None:
        if not refused:
            create(chain, chain.prepare(chain.head(), entry.body, {}))
            refused.append(entry.number)
            raise ChainTaken("the other publisher was quicker")
        create(chain, entry)

    monkeypatch.setattr("contracts.chain.Chain.create", overtaken)
    assert publish(layout) is None
    assert served.chain(layout).head_number() == 2


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_inner_products_in_the_item_space_are_scores_and_biases_have_the_scale_of_vectors(
    base: OpenBase, score: Literal["cosine", "dot"]
) -> None:
    towers = msgspec.structs.replace(base.manifest.towers, score=score)
    length = 1 / towers.temperature if score == "cosine" else 3.0
    users = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    users *= np.float32(length) / np.linalg.norm(users, axis=1, keepdims=True)
    vectors, queries = item_space.item_vectors(base.items, towers, 0.5), item_space.queries(users, towers)
    assert vectors.dtype == queries.dtype == np.float32
    assert np.allclose(queries @ vectors.T, users @ base.items.vectors.T + 0.5 * base.items.biases, atol=1e-4)
    if score == "cosine":
        assert np.allclose(np.linalg.norm(queries, axis=1), length * 2**0.5)


def test_a_collection_name_has_only_letters_that_milvus_takes_and_differs_with_the_items(layout: Layout) -> None:
    one = tiny_base(layout, Tiny("2017-10-05 \N{SNOWMAN} full", seed=1))
    other = tiny_base(layout, Tiny("2017-10-05 \N{SNOWMAN} full.", seed=2))
    names = [item_index.collection_name(base) for base in (one, other)]
    assert names[0].startswith("freshet_items_2017_10_05___full_")
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)
    assert names[0] != names[1]
