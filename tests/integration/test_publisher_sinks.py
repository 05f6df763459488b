"""What every sink has to do: one suite for a sink in memory, Redis, a Milvus server and Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.rollback import rollback
from infra.milvus.server import MilvusServer
from infra.redis.server import RedisServer
from publisher import sinks
from publisher.milvus_sink import MilvusSink
from publisher.redis_sink import RedisSink
from publisher.settings import Sinks
from publisher.sinks import follow
from tests.support.bases import CUT, Tiny, append_delta, append_round, tiny_base
from tests.support.servers import unique_name
from tests.support.sinks import USERS, MemorySink, check_holds_what_is_served, publish, rows_in


class SinkSuite:
    """A subclass offers the fixture `sink`."""

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


class TestMemory(SinkSuite):
    @pytest.fixture
    def sink(self) -> MemorySink:
        return MemorySink()


class TestRedis(SinkSuite):
    @pytest.fixture
    def sink(self, redis_server: RedisServer) -> Iterator[RedisSink]:
        made = RedisSink(Sinks(redis_url=SecretStr(redis_server.url), prefix=unique_name("sink")))
        yield made
        made.close()

    def test_a_redis_that_comes_back_empty_is_written_anew(
        self, layout: Layout, sink: RedisSink, redis_server: RedisServer
    ) -> None:
        base = tiny_base(layout)
        publish(layout)
        follow(layout, sink)
        redis_server.kill()
        append_round(layout, base, 1)
        publish(layout)
        redis_server.start()
        follow(layout, sink)
        check_holds_what_is_served(layout, sink)


class TestMilvusServer(SinkSuite):
    @pytest.fixture
    def sink(self, milvus_server: MilvusServer) -> Iterator[MilvusSink]:
        made = MilvusSink(Sinks(prefix=unique_name("sink")), milvus_server.uri)
        yield made
        made.close()


class TestMilvusLite(SinkSuite):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Iterator[MilvusSink]:
        made = MilvusSink(Sinks(), str(tmp_path / "sink.db"))
        yield made
        made.close()
