"""Items of today: those that the base does not know are answered by their content, each while it is available."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts import item_space, served
from contracts.bases import ITEM_TOWER, OnlineSettings, OpenBase
from contracts.catalogue import FRESH, Catalogue, FreshItems, pack_fresh, read_catalogue, unpack_fresh
from contracts.chain import Entry
from contracts.errors import Corrupt, PublishRefused
from contracts.events import Context, Item, encode
from contracts.features import DiscreteFeature, FeatureSpec
from contracts.layout import Layout
from contracts.rollback import rollback
from contracts.served import Served
from publisher import commands
from publisher.fresh_items import CatalogueFile, fresh_items
from publisher.promotion import Order, publish_once
from publisher.schedule import Publishing, Schedule
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.served_view import ServedView
from serving.settings import ServingSettings
from tests.support.bases import CUT, MINUTE, Tiny, append_round, rewrite, tiny_base

CONTENT = FeatureSpec((DiscreteFeature("section", ("news", "sports", "music")),))
ONLINE = OnlineSettings(bias_weight=0.5)
EXACT = ServingSettings(search="exact")
USERS = ["u1", "u2", "nobody"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout, Tiny(content=CONTENT, online=ONLINE))


def catalogue(*items: Item, digest: str = "one") -> Catalogue:
    return Catalogue({item.item_id: item for item in items}, digest)


def about(item_id: str, section: str, since: int = 0, until: int = 0) -> Item:
    return Item(item_id, CUT, Context({"section": section}), since, until)


def publish(layout: Layout, items: Catalogue | None) -> Entry[Served] | None:
    return publish_once(layout, PublisherSettings(), Order("someone", "a test", catalogue=items))


def view(layout: Layout) -> ServedView:
    return Retriever(layout, EXACT).view


def shown(layout: Layout, k: int = 1000) -> set[str]:
    return {item.item_id for user in USERS for item in view(layout).retrieve(user, k).items}


def test_a_new_item_stands_where_items_of_its_kind_do(base: OpenBase) -> None:
    found = fresh_items(
        base, catalogue(about("new1", "news"), about("new2", "news"), about("new3", "music"), about("i3", "news"))
    )
    assert found.ids == ["new1", "new2", "new3"]
    assert found.vectors.shape == (3, 8)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(found.vectors[0], found.vectors[1])
    assert not np.allclose(found.vectors[0], found.vectors[2], atol=1e-3)


def test_a_base_without_content_features_gives_no_item_a_vector_and_heeds_availability(layout: Layout) -> None:
    plain = tiny_base(layout)
    found = fresh_items(plain, catalogue(about("new1", "news"), about("i3", "news", until=CUT)))
    assert (found.ids, found.vectors.shape, found.until) == ([], (0, 8), {"i3": CUT})


def test_new_items_are_answered_with_their_exact_scores_beside_all_others(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 1)
    publish(layout, catalogue(about("new1", "news"), about("new2", "sports")))
    version = view(layout)
    for user in USERS:
        known = version.users.user(user)
        (vector,) = version.parts.tower.vectors(known.id_embedding[np.newaxis], [Context()])
        (query,) = item_space.queries(vector[np.newaxis], base.manifest.towers)
        answer = {item.item_id: item for item in version.retrieve(user, 1000).items}
        for item, its in zip(version.offer.fresh.ids, version.offer.fresh.vectors, strict=True):
            assert answer[item].score == pytest.approx(float(query[:-1] @ its) + version.trend.floor, abs=1e-4)
        everything = sorted((item.score for item in answer.values()), reverse=True)
        for k in (1, 3, 10):
            assert np.allclose([item.score for item in version.retrieve(user, k).items], everything[:k], atol=1e-5)


def test_a_new_item_that_trends_is_scored_by_its_own_vector_and_not_the_mean_one(
    layout: Layout, base: OpenBase
) -> None:
    append_round(layout, base, 1)  # has clicks of an item that the base does not know
    publish(layout, None)
    (stranger, *_) = view(layout).trend.strangers
    publish(layout, catalogue(about(stranger, "news")))
    version = view(layout)
    assert stranger not in version.trend.strangers
    assert version.offer.catalogue.row_of[stranger] in version.trend.places
    assert sum(item.item_id == stranger for item in version.retrieve("nobody", 1000).items) == 1


def test_what_is_not_available_leaves_the_answers_and_comes_back(layout: Layout, base: OpenBase) -> None:
    later = CUT + 30 * MINUTE
    items = catalogue(
        about("i1", "news", until=CUT),
        about("i2", "news", until=CUT + 1),
        about("i3", "news", since=later),
        about("new1", "news", until=CUT),
        about("new2", "news", since=later, until=later + 1),
    )
    publish(layout, items)
    assert {"i1", "i2", "i3", "new1", "new2"} & shown(layout) == {"i2"}
    append_round(layout, base, 1)
    publish(layout, items)
    assert {"i1", "i2", "i3", "new1", "new2"} & shown(layout) == {"i3", "new2"}
    control = view(layout).frozen()
    assert "i1" not in {item.item_id for item in control.retrieve("nobody", 1000).items}


def test_an_answer_is_full_however_many_of_the_nearest_may_not_be_shown(layout: Layout, base: OpenBase) -> None:
    publish(layout, None)
    best = [item.item_id for item in view(layout).retrieve("nobody", 40).items]
    publish(layout, catalogue(*(about(item, "news", until=CUT) for item in best[:30])))
    assert [item.item_id for item in view(layout).retrieve("nobody", 5).items] == best[30:35]


def test_the_items_file_is_written_when_the_catalogue_changes_and_named_again_otherwise(
    layout: Layout, base: OpenBase
) -> None:
    first = publish(layout, catalogue(about("new1", "news")))
    append_round(layout, base, 1)
    same = publish(layout, catalogue(about("new1", "news")))
    assert publish(layout, catalogue(about("new1", "news"))) is None
    other = publish(layout, catalogue(about("new2", "news"), digest="two"))
    append_round(layout, base, 2)
    carried = publish(layout, None)
    assert first and same and other and carried
    assert first.files == same.files != other.files == carried.files
    assert "new2" in shown(layout)
    back = rollback(layout, 1, "someone", "a test")
    assert back.files == first.files
    assert {"new1", "new2"} & shown(layout) == {"new1"}
    chain = served.chain(layout)
    chain.remove_orphans()
    assert chain.verify() == 5


def test_an_item_tower_that_fails_refuses_the_version(layout: Layout, base: OpenBase) -> None:
    rewrite(base, "broken", {ITEM_TOWER: b"no graph"})
    order = Order("someone", "a test", "broken", catalogue=catalogue(about("new1", "news")))
    with pytest.raises(PublishRefused, match="items: the item tower of base broken is damaged at its graph"):
        publish_once(layout, PublisherSettings(), order)
    assert served.head(layout) is None


def test_the_command_and_the_schedule_read_the_file_again_when_it_has_changed(layout: Layout, base: OpenBase) -> None:
    path = layout.root / "items.jsonl"
    path.write_bytes(encode(about("new1", "news")) + b"\n")
    assert commands.once(["--root", str(layout.root), "--items", str(path)]) == 0
    assert "new1" in shown(layout)
    said: list[str] = []
    publishing = Publishing(layout, PublisherSettings(), Order("someone", "a test"), CatalogueFile(path))
    schedule = Schedule(publishing, 1800.0, said.append)
    schedule.tick(0.0)
    path.write_bytes(encode(about("new22", "news")) + b"\n")
    schedule.tick(1800.0)
    assert "new22" in shown(layout)
    path.write_bytes(b"rubbish\n")
    schedule.tick(3600.0)
    assert said[0] == "Nothing new to publish."
    assert "line 1 is no event" in said[-1]
    assert "new22" in shown(layout)
    path.unlink()
    schedule.tick(5400.0)
    assert "cannot be read" in said[-1]


def test_a_catalogue_keeps_the_newest_event_of_an_item(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(
        b"\n".join(map(encode, (about("i1", "news"), about("i2", "news"), about("i1", "music", until=CUT))))
    )
    found = read_catalogue(path)
    assert found.items["i1"] == about("i1", "music", until=CUT)
    assert found.contents["i2"] == Context({"section": "news"})


def test_fresh_items_come_back_from_their_file_and_damage_is_named() -> None:
    fresh = FreshItems(["a", "ü"], np.eye(2, 4, dtype=np.float32), {"a": 5}, {"b": 7, "a": 9})
    data = pack_fresh(fresh)
    found = unpack_fresh(data, 4, "a file")
    assert (found.ids, found.since, found.until) == (fresh.ids, fresh.since, fresh.until)
    assert np.array_equal(found.vectors, fresh.vectors)
    assert (found.hidden(4), found.hidden(6), found.hidden(9)) == ({"a"}, set(), {"a", "b"})
    for bad in (FreshItems(["a", "a"], fresh.vectors), FreshItems(["a", "b"], fresh.vectors * np.float32("nan"))):
        with pytest.raises(Corrupt, match="a file is damaged at its items"):
            unpack_fresh(pack_fresh(bad), 4, "a file")
    with pytest.raises(Corrupt):
        unpack_fresh(data, 5, "a file")
    assert FRESH == "items.safetensors"
