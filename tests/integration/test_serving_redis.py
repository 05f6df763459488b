"""User vectors shared through a real Redis: replicas use each other's, and an outage is only slower."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from contracts.layout import Layout
from infra.redis.server import RedisServer
from serving.answer import Answer, Query
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import append_round, serve, tiny_base

QUERIES = [Query(f"u{n}") for n in range(20)]


def replica(layout: Layout, server: RedisServer) -> Retriever:
    """A process's retriever that keeps nothing of its own."""
    settings = ServingSettings(search="exact", cached_vectors=0, redis_url=SecretStr(server.url), retry_seconds=0)
    return Retriever(layout, settings)


def items(answers: list[Answer]) -> list[object]:
    return [answer.items for answer in answers]


def test_replicas_share_vectors_of_one_version_and_never_of_two(tmp_path: Path, redis_server: RedisServer) -> None:
    layout = Layout(tmp_path)
    base = tiny_base(layout)
    serve(layout, base)
    first, second = replica(layout, redis_server), replica(layout, redis_server)
    wanted = items(Retriever(layout, ServingSettings(search="exact")).retrieve_many(QUERIES, 5))
    assert items(first.retrieve_many(QUERIES, 5)) == wanted
    assert items(second.retrieve_many(QUERIES, 5)) == wanted
    assert first.builder.counts.now() == {"memory": 0, "redis": 0, "computed": 20}
    assert second.builder.counts.now() == {"memory": 0, "redis": 20, "computed": 0}
    append_round(layout, base, 1)
    serve(layout, base)
    second.refresh()
    fresh = items(Retriever(layout, ServingSettings(search="exact")).retrieve_many(QUERIES, 5))
    assert items(second.retrieve_many(QUERIES, 5)) == fresh != wanted
    assert second.builder.counts.now()["computed"] == 20


def test_a_redis_outage_is_only_slower(tmp_path: Path, redis_server: RedisServer) -> None:
    layout = Layout(tmp_path)
    serve(layout, tiny_base(layout))
    wanted = items(Retriever(layout, ServingSettings(search="exact")).retrieve_many(QUERIES, 5))
    with RedisServer() as server:
        reader = replica(layout, server)
        assert items(reader.retrieve_many(QUERIES, 5)) == wanted
        server.kill()
        assert items(reader.retrieve_many(QUERIES, 5)) == wanted
        assert reader.builder.counts.now() == {"memory": 0, "redis": 0, "computed": 40}
        server.start()
        reader.retrieve_many(QUERIES, 5)
        assert items(reader.retrieve_many(QUERIES, 5)) == wanted
        assert reader.builder.counts.now()["redis"] == 20
