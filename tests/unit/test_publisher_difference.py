"""`publish diff`: what it says is what readers see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts import served
from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.errors import UsageError
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.rollback import rollback
from contracts.rows import Row
from publisher import commands_versions
from publisher.difference import difference
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import CUT, Tiny, append_delta, append_round, tiny_base

USERS = [f"{kind}{n}" for kind in ("u", "new") for n in range(100)]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


def publish(layout: Layout, base_id: str | None = None) -> int:
    entry = publish_once(layout, PublisherSettings(), Order("someone", "a test", base_id))
    assert entry is not None
    return entry.number


def rows(layout: Layout, version: int) -> dict[str, Row]:
    """Every user's row as a reader of a version has it."""
    builder = Retriever(layout, ServingSettings(search="exact")).builder
    users = builder.view(served.chain(layout).read(version)).users
    return {user: row for user in USERS if (row := users.user(user).row)}


def test_rows_and_distances_are_those_between_the_views_of_readers(layout: Layout, base: OpenBase) -> None:
    publish(layout)
    for seed in (1, 2, 3):
        append_round(layout, base, seed)
        publish(layout)
    rollback(layout, 2, "someone", "a test")
    for before, after in ((1, 4), (2, 3), (4, 2), (4, 5), (1, 1)):
        was, now, found = rows(layout, before), rows(layout, after), difference(layout, before, after)
        changed = {u: np.linalg.norm(now[u].own - was[u].own) for u in was.keys() & now.keys()}
        changed = {user: far for user, far in changed.items() if far}
        assert (found.rows_new, found.rows_gone) == (len(now.keys() - was.keys()), len(was.keys() - now.keys()))
        assert found.rows_changed == len(changed) == sum(found.histogram)
        far = {move.name: move.distance for move in found.moved}
        assert len(far) == min(len(changed), 10)
        assert all(changed[user] == pytest.approx(distance, rel=1e-5) for user, distance in far.items())
        if changed:
            assert found.distances[-1] == pytest.approx(max(changed.values()), rel=1e-5)


def test_a_tombstone_is_a_row_that_is_gone(layout: Layout, base: OpenBase) -> None:
    publish(layout)
    partition = partition_of("u1", 2)
    append_delta(layout, base, partition, replace(Changes(base.common, 1), tombstones={"u1"}))
    publish(layout)
    found = difference(layout, 1, 2)
    assert (found.rows_new, found.rows_changed, found.rows_gone) == (0, 0, 1)
    assert (difference(layout, 2, 1).rows_new, difference(layout, 2, 1).rows_gone) == (1, 0)


def test_rows_of_two_bases_are_not_compared_but_their_items_are(layout: Layout, base: OpenBase) -> None:
    publish(layout)
    tiny_base(layout, Tiny("other", items=45, seed=1, cut_watermark=CUT + 1))
    publish(layout, "other")
    found = difference(layout, 1, 2)
    assert (found.bases, found.rows_changed, found.common) == (("tiny", "other"), 0, [])
    assert (found.items_new, found.items_gone) == (5, 0)


def test_a_version_that_does_not_exist_is_named(layout: Layout, base: OpenBase) -> None:
    with pytest.raises(UsageError, match="there is no version 1"):
        difference(layout, 1, 2)
    publish(layout)
    with pytest.raises(UsageError, match="there is no version 2") as raised:
        difference(layout, 1, 2)
    assert "Versions 1 to 1" in raised.value.hint


def test_the_command_prints_a_table_for_people_and_json_for_programs(
    layout: Layout, base: OpenBase, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(layout)
    append_round(layout, base, 1)
    publish(layout)
    assert commands_versions.diff(["--root", str(layout.root), "1", "2"]) == 0
    said = capsys.readouterr().out
    assert "From version 1 to version 2" in said
    assert "Base tiny. Own rows:" in said
    assert "partition 1" in said
    assert commands_versions.diff(["--root", str(layout.root), "1", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["before"], told["after"], told["deltas"]) == (1, 2, [[0, 1], [0, 1]])
