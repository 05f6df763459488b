"""What items are about: the catalogue, the inputs that come of it, and the item tower that eats them."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.bases import CONTENT, ITEM_TOWER, OpenBase
from contracts.catalogue import Catalogue, read_catalogue
from contracts.errors import Corrupt, MissingInput, UsageError
from contracts.events import Context, Item, Tick, encode
from contracts.features import DiscreteFeature, FeatureSpec
from contracts.layout import Layout
from tests.support.tastes import DAYS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import small_settings
from trainer.export import run
from trainer.item_content import of_base
from trainer.lineage import FROM_SCRATCH
from trainer.retrain import RetrainPlan, retrain

SPORTS, POLITICS = Context({"section": "sports"}, {"words": 100.0}), Context({"section": "politics"}, {"words": 900.0})


def written(path: Path, *events: Item | Tick) -> Path:
    """A file of events, a line each."""
    path.write_bytes(b"".join(encode(event) + b"\n" for event in events))
    return path


def catalogue(name: str = "one", **others: Context) -> Catalogue:
    """Items of even topics are about sports, the others about politics; but for `others`."""
    about = {f"i{topic}.{at}": POLITICS if topic % 2 else SPORTS for topic in range(8) for at in range(10)}
    about |= {item.replace("_", "."): content for item, content in others.items()}
    return Catalogue({item: Item(item, 0, content) for item, content in about.items()}, name)


def trained(layout: Layout, day: str, parent: str, items: Catalogue | None) -> OpenBase:
    """A base on one day, on what is told of the items."""
    return retrain(layout, RetrainPlan("events", (day,), parent, small_settings(), catalogue=items))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A run folder with the shards of two days."""
    found = Layout(tmp_path_factory.mktemp("content"))
    write_tastes(found, Tastes(days=2))
    return found


@pytest.fixture(scope="module")
def base(layout: Layout) -> OpenBase:
    """A base whose items have content."""
    return trained(layout, DAYS[0], FROM_SCRATCH, catalogue())


def test_of_several_events_of_an_item_the_last_counts_and_other_events_are_passed_over(tmp_path: Path) -> None:
    first, last, other = Item("i1", MIDNIGHT, SPORTS), Item("i1", MIDNIGHT, POLITICS), Item("i2", MIDNIGHT)
    path = written(tmp_path / "log", first, Tick(MIDNIGHT), other, last)
    assert read_catalogue(path).contents == {"i1": POLITICS, "i2": Context()}


def test_a_zipped_catalogue_is_read_and_another_one_has_another_digest(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain", Item("i1", MIDNIGHT, SPORTS))
    (tmp_path / "zipped").write_bytes(gzip.compress(plain.read_bytes()))
    assert read_catalogue(tmp_path / "zipped") == read_catalogue(plain)
    other = written(tmp_path / "other", Item("i1", MIDNIGHT, POLITICS))
    assert read_catalogue(other).digest != read_catalogue(plain).digest


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "log", Item("i1", MIDNIGHT, SPORTS))
    path.write_bytes(path.read_bytes() + b'\n{"kind": "item"}\n')
    with pytest.raises(UsageError, match="line 3 is no event: wrong_type"):
        read_catalogue(path)


def test_a_file_without_items_a_torn_one_and_none_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no items"):
        read_catalogue(written(tmp_path / "ticks", Tick(MIDNIGHT)))
    (tmp_path / "torn").write_bytes(gzip.compress(encode(Item("i1", MIDNIGHT)) * 50)[:-9])
    with pytest.raises(Corrupt):
        read_catalogue(tmp_path / "torn")
    with pytest.raises(MissingInput, match="cannot be read"):
        read_catalogue(tmp_path / "nowhere")


def test_the_item_tower_is_trained_on_content_and_exported_with_it(base: OpenBase) -> None:
    spec = base.manifest.towers.content
    assert [(feature.name, set(feature.values)) for feature in spec.discrete] == [("section", {"sports", "politics"})]
    assert [feature.name for feature in spec.continuous] == ["words"]
    items, content = base.items, of_base(base)
    vectors = run(base.file(ITEM_TOWER), items.embeddings, content.codes, content.numbers)
    assert vectors == pytest.approx(items.vectors, abs=1e-5)
    other = run(base.file(ITEM_TOWER), items.embeddings, 3 - content.codes, content.numbers)
    assert not np.allclose(other, items.vectors, atol=1e-3)


def test_each_item_has_its_own_content(base: OpenBase) -> None:
    (section,) = base.manifest.towers.content.discrete
    content = of_base(base)
    for at, item in enumerate(base.items.ids):
        topic = int(item[1])
        assert section.values[content.codes[at, 0] - 1] == ("politics" if topic % 2 else "sports")
        assert (content.numbers[at, 0] > 0) == bool(topic % 2)


def test_a_warm_start_keeps_the_content_of_items_that_the_catalogue_no_longer_names(
    layout: Layout, base: OpenBase
) -> None:
    only = Catalogue({"i0.0": Item("i0.0", 0, POLITICS)}, "only")
    child = trained(layout, DAYS[1], base.manifest.base_id, only)
    assert child.manifest.towers == base.manifest.towers
    before, after = of_base(base), of_base(child)
    changed = base.items.ids.index("i0.0")
    kept = [at for at in range(len(base.items.ids)) if at != changed]
    assert np.array_equal(after.codes[kept], before.codes[kept])
    assert after.codes[changed, 0] != before.codes[changed, 0]
    without = trained(layout, DAYS[1], base.manifest.base_id, None)
    assert np.array_equal(of_base(without).codes[: len(before.codes)], before.codes)


def test_another_catalogue_makes_another_base_and_the_same_one_the_same(layout: Layout, base: OpenBase) -> None:
    other = trained(layout, DAYS[0], FROM_SCRATCH, catalogue("two", i0_0=POLITICS))
    assert other.manifest.base_id != base.manifest.base_id
    assert trained(layout, DAYS[0], FROM_SCRATCH, catalogue()).digest == base.digest


def test_codes_that_no_value_has_are_corrupt(base: OpenBase) -> None:
    towers = base.manifest.towers
    (section,) = towers.content.discrete
    fewer = FeatureSpec((DiscreteFeature(section.name, section.values[:1]),), towers.content.continuous)
    manifest = msgspec.structs.replace(base.manifest, towers=msgspec.structs.replace(towers, content=fewer))
    with pytest.raises(Corrupt, match=CONTENT):
        of_base(OpenBase(manifest, base.digest, base.layout))
