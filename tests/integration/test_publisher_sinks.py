"""The sinks on real servers: the same suite for Redis, a Milvus server and Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.layout import Layout
from infra.milvus.server import MilvusServer
from infra.redis.server import RedisServer
from publisher.milvus_sink import MilvusSink
from publisher.redis_sink import RedisSink
from publisher.settings import Sinks
from publisher.sinks import follow
from tests.support.bases import append_round, tiny_base
from tests.support.servers import unique_name
from tests.support.sink_suite import SinkSuite, check_holds_what_is_served, publish


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
