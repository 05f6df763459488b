"""Files of every vintage are read to the values that were written; today's code writes the newest byte for byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from contracts import deltas, drift, events, nights, rebases, served, shards, validation
from contracts.bases import Base, BaseStore, OpenBase
from contracts.catalogue import FRESH, unpack_fresh
from contracts.deltas import Delta
from contracts.layout import Layout
from contracts.reference import REFERENCE, reference_of
from contracts.rows import Row
from tests.golden import make, specimens

NEWEST = make.VINTAGES[-1]
# What the manifests of an older vintage lacked.
LACKING_IN_BASES = {"schema1": {"schema": "freshet.base/1", "own_scale": 1.0}}
LACKING_IN_DELTAS: dict[str, dict[str, object]] = {"schema1": {"reasons": {}}}
SAMPLES_DIGEST = "52673343e4aa20c311992a247f799a5c969eb755a25d433a900bcec672a59ab7"
WITH_CATALOGUE = ("schema3", "schema4")
WITH_RECORDS = ("schema4",)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(params=make.VINTAGES)
def vintage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def layout(vintage: str) -> Layout:
    return Layout(make.FOLDER.parent / vintage)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return BaseStore(layout).open(specimens.BASE_ID)


def wanted_deltas(vintage: str, base: OpenBase) -> tuple[Delta, ...]:
    lacking = LACKING_IN_DELTAS.get(vintage, {})
    return tuple(replace(body, **lacking) for body in specimens.deltas(base.digest))


def test_todays_code_writes_the_very_same_bytes(tmp_path: Path) -> None:
    make.write(tmp_path)
    written, golden = tree(tmp_path), tree(make.FOLDER)
    assert sorted(written) == sorted(golden)
    assert [name for name in golden if written[name] != golden[name]] == []


@pytest.mark.parametrize("name", specimens.EVENTS)
def test_an_event_is_read(name: str, layout: Layout) -> None:
    assert events.decode((layout.root / "events" / f"{name}.json").read_bytes()) == specimens.EVENTS[name]


def test_shards_samples_and_dead_letters_are_read(layout: Layout) -> None:
    chain = shards.chain(layout, specimens.TOPIC, 0)
    assert shards.verify(chain) == 2
    first, lost = chain.entries()
    assert (first.body, lost.body) == specimens.SHARDS
    assert tuple(shards.read_samples(chain, first)) == specimens.SAMPLES
    assert tuple(shards.read_dead_letters(chain, first)) == specimens.DEAD_LETTERS
    assert (shards.read_samples(chain, lost), shards.read_dead_letters(chain, lost), lost.files) == ([], [], ())


def test_the_digest_of_the_samples_is_what_it_was(layout: Layout) -> None:
    chain = shards.chain(layout, specimens.TOPIC, 0)
    assert shards.samples_digest(chain) == SAMPLES_DIGEST


def test_a_base_is_read(base: OpenBase, vintage: str) -> None:
    base.verify()
    assert replace(base.manifest, files=()) == replace(specimens.BASE, **LACKING_IN_BASES.get(vintage, {}))
    assert isinstance(base.manifest, Base)
    lacking = set() if vintage in WITH_CATALOGUE else {REFERENCE}
    wanted = {name: data for name, data in specimens.BASE_FILES.items() if name not in lacking}
    assert {file.name: base.file(file.name) for file in base.manifest.files} == wanted
    assert base.trend == specimens.TREND_COUNTS
    assert base.common.tobytes() == specimens.COMMON.tobytes()
    assert _plain(base.learned_rows) == _plain(specimens.ROWS)
    scale = np.float32(base.manifest.own_scale)
    scaled = {user: dataclasses.replace(row, own=row.own * scale) for user, row in specimens.ROWS.items()}
    assert _plain(base.rows) == _plain(scaled)


def test_the_items_of_a_base_are_read(base: OpenBase) -> None:
    found, wanted = base.items, specimens.ITEM_SIDE
    assert found.ids == wanted.ids
    for name in ("embeddings", "vectors", "biases"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), strict=True)


def test_deltas_are_read(base: OpenBase, layout: Layout, vintage: str) -> None:
    chain = deltas.chain(layout, specimens.BASE_ID, 0)
    assert chain.verify() == 2
    assert tuple(entry.body for entry in chain.entries()) == wanted_deltas(vintage, base)
    for entry, wanted in zip(chain.entries(), specimens.CHANGES, strict=True):
        found = deltas.read(chain, entry)
        assert (found.common.tobytes(), found.common_samples) == (wanted.common.tobytes(), wanted.common_samples)
        assert _plain(found.rows) == _plain(wanted.rows)
        assert (found.tombstones, found.trend, found.admission) == (wanted.tombstones, wanted.trend, wanted.admission)


def test_validation_records_are_read(layout: Layout) -> None:
    chain = deltas.chain(layout, specimens.BASE_ID, 0)
    assert tuple(validation.decode(chain.data(chain.read(1), deltas.VALIDATION))) == specimens.BLOCK_SCORES


def test_served_manifests_are_read(base: OpenBase, layout: Layout, vintage: str) -> None:
    chain = served.chain(layout)
    assert chain.verify() == 2
    first, second = (entry.digest for entry in deltas.chain(layout, specimens.BASE_ID, 0).entries())
    lacking = {} if vintage in WITH_CATALOGUE else {"catalogue": ""}
    wanted = tuple(replace(body, **lacking) for body in specimens.served(base.digest, (first, second)))
    assert tuple(entry.body for entry in chain.entries()) == wanted
    head = served.head(layout)
    assert head is not None
    assert served.included(head.body, 0) == [1]


@pytest.mark.parametrize("vintage", WITH_CATALOGUE)
def test_fresh_items_and_refusals_are_read(base: OpenBase, layout: Layout) -> None:
    chain, wanted = served.chain(layout), specimens.FRESH_ITEMS
    for entry in chain.entries():  # a rollback names the file of the version that it goes back to
        found = unpack_fresh(chain.data(entry, FRESH), specimens.WIDTH, "a specimen")
        assert (found.ids, found.since, found.until) == (wanted.ids, wanted.since, wanted.until)
        assert found.vectors.tobytes() == wanted.vectors.tobytes()
    first, second = (entry.digest for entry in deltas.chain(layout, specimens.BASE_ID, 0).entries())
    refused = served.refused(layout)
    assert (refused.verify(), refused.read(1).body) == (1, specimens.refused(base.digest, (first, second)))


@pytest.mark.parametrize("vintage", WITH_RECORDS)
def test_the_drift_record_is_read(layout: Layout) -> None:
    chain = deltas.chain(layout, specimens.BASE_ID, 0)
    assert drift.decode(chain.data(chain.read(1), deltas.DRIFT)) == specimens.DRIFT


@pytest.mark.parametrize("vintage", WITH_RECORDS)
def test_the_records_of_a_rebase_and_of_a_night_are_read(base: OpenBase, layout: Layout) -> None:
    way, night = rebases.chain(layout, specimens.BASE_ID), nights.chain(layout, specimens.TOPIC)
    assert (way.verify(), night.verify()) == (2, 2)
    assert tuple(entry.body for entry in way.entries()) == specimens.rebases(base.digest)
    assert tuple(entry.body for entry in night.entries()) == specimens.nights()
    assert rebases.state(layout, base) == "ready"


@pytest.mark.parametrize("vintage", WITH_CATALOGUE)
def test_the_reference_of_a_base_is_read(base: OpenBase) -> None:
    found = reference_of(base)
    assert found is not None
    assert (found.users, found.common.tobytes()) == (sorted(specimens.ROWS), specimens.COMMON.tobytes())
    assert np.array_equal(found.own, base.rows.own)


def _plain(rows: Mapping[str, Row]) -> dict[str, tuple[object, ...]]:
    return {user: (row.own.tobytes(), row.clicks, row.last_event_time, row.ring) for user, row in rows.items()}
