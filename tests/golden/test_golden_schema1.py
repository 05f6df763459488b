"""Files of schema 1 are read to the values that were written, and today's code writes the very same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from contracts import deltas, events, served, shards, validation
from contracts.bases import Base, BaseStore, OpenBase
from contracts.layout import Layout
from contracts.rows import Row
from tests.golden import make, specimens

LAYOUT = Layout(make.FOLDER)
SAMPLES_DIGEST = "52673343e4aa20c311992a247f799a5c969eb755a25d433a900bcec672a59ab7"


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def base() -> OpenBase:
    return BaseStore(LAYOUT).open(specimens.BASE_ID)


def test_todays_code_writes_the_very_same_bytes(tmp_path: Path) -> None:
    make.write(tmp_path)
    written, golden = tree(tmp_path), tree(make.FOLDER)
    assert sorted(written) == sorted(golden)
    assert [name for name in golden if written[name] != golden[name]] == []


@pytest.mark.parametrize("name", specimens.EVENTS)
def test_an_event_is_read(name: str) -> None:
    assert events.decode((make.FOLDER / "events" / f"{name}.json").read_bytes()) == specimens.EVENTS[name]


def test_shards_samples_and_dead_letters_are_read() -> None:
    chain = shards.chain(LAYOUT, specimens.TOPIC, 0)
    assert shards.verify(chain) == 2
    first, lost = chain.entries()
    assert (first.body, lost.body) == specimens.SHARDS
    assert tuple(shards.read_samples(chain, first)) == specimens.SAMPLES
    assert tuple(shards.read_dead_letters(chain, first)) == specimens.DEAD_LETTERS
    assert (shards.read_samples(chain, lost), shards.read_dead_letters(chain, lost), lost.files) == ([], [], ())


def test_the_digest_of_the_samples_is_what_it_was() -> None:
    chain = shards.chain(LAYOUT, specimens.TOPIC, 0)
    assert shards.samples_digest(chain) == SAMPLES_DIGEST


def test_a_base_is_read(base: OpenBase) -> None:
    base.verify()
    assert replace(base.manifest, files=()) == specimens.BASE
    assert isinstance(base.manifest, Base)
    assert {file.name: base.file(file.name) for file in base.manifest.files} == specimens.BASE_FILES
    assert base.trend == specimens.TREND_COUNTS
    assert base.common.tobytes() == specimens.COMMON.tobytes()
    assert _plain(base.rows) == _plain(specimens.ROWS)


def test_the_items_of_a_base_are_read(base: OpenBase) -> None:
    found, wanted = base.items, specimens.ITEM_SIDE
    assert found.ids == wanted.ids
    for name in ("embeddings", "vectors", "biases"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), strict=True)


def test_deltas_are_read(base: OpenBase) -> None:
    chain = deltas.chain(LAYOUT, specimens.BASE_ID, 0)
    assert chain.verify() == 2
    assert tuple(entry.body for entry in chain.entries()) == specimens.deltas(base.digest)
    for entry, wanted in zip(chain.entries(), specimens.CHANGES, strict=True):
        found = deltas.read(chain, entry)
        assert (found.common.tobytes(), found.common_samples) == (wanted.common.tobytes(), wanted.common_samples)
        assert _plain(found.rows) == _plain(wanted.rows)
        assert (found.tombstones, found.trend, found.admission) == (wanted.tombstones, wanted.trend, wanted.admission)


def test_validation_records_are_read() -> None:
    chain = deltas.chain(LAYOUT, specimens.BASE_ID, 0)
    assert tuple(validation.decode(chain.data(chain.read(1), deltas.VALIDATION))) == specimens.BLOCK_SCORES


def test_served_manifests_are_read(base: OpenBase) -> None:
    chain = served.chain(LAYOUT)
    assert chain.verify() == 2
    first, second = (entry.digest for entry in deltas.chain(LAYOUT, specimens.BASE_ID, 0).entries())
    assert tuple(entry.body for entry in chain.entries()) == specimens.served(base.digest, (first, second))
    head = served.head(LAYOUT)
    assert head is not None
    assert served.included(head.body, 0) == [1]


def _plain(rows: dict[str, Row]) -> dict[str, tuple[object, ...]]:
    return {user: (row.own.tobytes(), row.clicks, row.last_event_time, row.ring) for user, row in rows.items()}
