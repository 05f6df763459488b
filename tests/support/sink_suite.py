"""What every sink has to do; a subclass offers the fixture `sink`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts import served
from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.layout import Layout
from contracts.partitions import partition_of
from publisher import sinks
from publisher.promotion import Order, publish_once
from publisher.rollback import rollback
from publisher.settings import PublisherSettings
from publisher.sinks import follow
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import CUT, Tiny, append_delta, append_round, tiny_base
from tests.support.sinks import rows_in

USERS = [f"{kind}{n}" for kind in ("u", "new") for n in range(100)]


def publish(layout: Layout, base_id: str | None = None) -> None:
    publish_once(layout, PublisherSettings(), Order("someone", "a test", base_id))


def as_served(layout: Layout) -> dict[str, tuple[bytes, int, int]]:
    """Every user's row as a reader of the newest version has it."""
    users = Retriever(layout, ServingSettings(search="exact")).view.users
    rows = {user: row for user in USERS if (row := users.user(user).row)}
    return {user: (row.own.astype("<f4").tobytes(), row.clicks, row.last_event_time) for user, row in rows.items()}


def check_holds_what_is_served(layout: Layout, sink: Any) -> None:
    """Rows and common rows in the sink are those of the newest version, and none of its rows is of a later one."""
    head, cursor = served.head(layout), sink.cursor()
    assert head is not None
    assert (cursor.version, cursor.digest, cursor.writing) == (head.number, head.digest, "")
    found = rows_in(sink, USERS)
    assert {user: rest for user, (_, *rest) in found.items()} == {u: list(row) for u, row in as_served(layout).items()}
    assert all(version <= head.number for version, *_ in found.values())
    view = Retriever(layout, ServingSettings(search="exact")).view.users
    for user in USERS[:20]:
        known = view.user(user)
        if known.row:
            assert np.allclose(cursor.commons[known.partition], known.common)


class SinkSuite:
    """One suite for every implementation."""

    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        return Layout(tmp_path)

    @pytest.fixture
    def base(self, layout: Layout) -> OpenBase:
        return tiny_base(layout)

    def test_before_the_first_publish_nothing_is_written(self, layout: Layout, sink: Any) -> None:
        assert follow(layout, sink) == 0
        assert sink.cursor() is None

    def test_it_holds_what_is_served_after_every_publish_rollback_and_cut_over(
        self, layout: Layout, base: OpenBase, sink: Any
    ) -> None:
        publish(layout)
        assert follow(layout, sink) == 20
        for seed in (1, 2, 3):
            append_round(layout, base, seed)
            publish(layout)
            written = follow(layout, sink)
            assert 0 < written <= 6
            check_holds_what_is_served(layout, sink)
        rollback(layout, 2, "someone", "a test")
        follow(layout, sink)
        check_holds_what_is_served(layout, sink)
        append_round(layout, base, 4)
        publish(layout)
        follow(layout, sink)
        check_holds_what_is_served(layout, sink)
        other = tiny_base(layout, Tiny("other", seed=1, cut_watermark=CUT + 1))
        append_round(layout, other, 1)
        publish(layout, "other")
        follow(layout, sink)
        check_holds_what_is_served(layout, sink)
        assert follow(layout, sink) == 0

    def test_versions_that_it_slept_through_are_one_step(self, layout: Layout, base: OpenBase, sink: Any) -> None:
        publish(layout)
        follow(layout, sink)
        for seed in range(1, 11):
            append_round(layout, base, seed)
            publish(layout)
        follow(layout, sink)
        check_holds_what_is_served(layout, sink)

    def test_more_touched_rows_than_a_batch_holds_all_arrive(
        self, layout: Layout, base: OpenBase, sink: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sinks, "BATCH", 3)
        publish(layout)
        follow(layout, sink)
        for seed in range(1, 8):
            append_round(layout, base, seed)
        publish(layout)
        assert follow(layout, sink) > 6
        check_holds_what_is_served(layout, sink)

    def test_a_row_that_expired_between_two_versions_blocks_nothing_and_is_gone(
        self, layout: Layout, base: OpenBase, sink: Any
    ) -> None:
        publish(layout)
        follow(layout, sink)
        append_round(layout, base, 1)
        partition = partition_of("u1", 2)
        gone = {"u1", "never there"} & {user for user in ("u1", "never there") if partition_of(user, 2) == partition}
        append_delta(layout, base, partition, replace(Changes(base.common, 1), tombstones=gone))
        publish(layout)
        follow(layout, sink)
        check_holds_what_is_served(layout, sink)
        assert "u1" not in rows_in(sink, USERS)

    def test_of_two_rows_of_one_user_the_newest_stays(self, layout: Layout, base: OpenBase, sink: Any) -> None:
        publish(layout)
        follow(layout, sink)
        partition, row = partition_of("u1", 2), base.rows["u1"]
        for clicks in (8, 9, 7):
            append_delta(layout, base, partition, Changes(base.common, 1, {"u1": replace(row, clicks=clicks)}))
        publish(layout)
        follow(layout, sink)
        assert rows_in(sink, ["u1"])["u1"][2] == 7
