"""Sinks for tests: one in memory that fails where it is told, and readers of the real ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contracts import served
from contracts.errors import MissingServer
from contracts.layout import Layout
from contracts.rows import Row
from publisher.milvus_sink import MilvusSink
from publisher.promotion import Order, publish_once
from publisher.redis_sink import RedisSink
from publisher.settings import PublisherSettings
from publisher.sinks import Cursor, pack_row, unpack_row
from serving.retriever import Retriever
from serving.settings import ServingSettings

Held = dict[str, tuple[int, bytes, int, int]]  # version, own row, clicks, last event time by user


@dataclass
class MemorySink:
    """Holds rows as a server would. `fails_at`: the call (from 1) that fails once, half done as a server leaves it."""

    name: str = "memory"
    held: dict[str, dict[str, bytes]] = field(default_factory=dict)
    pointer: Cursor | None = None
    fails_at: int = 0
    calls: int = 0

    def cursor(self) -> Cursor | None:
        return self.pointer

    def point(self, cursor: Cursor) -> None:
        self._called()
        self.pointer = cursor

    def begin(self, generation: str, width: int) -> None:
        self._called()
        self.held[generation] = {}

    def put(self, generation: str, version: int, rows: Mapping[str, Row]) -> None:
        packed = {user: pack_row(version, row) for user, row in rows.items()}
        half = dict(list(packed.items())[: len(packed) // 2])
        self._called(lambda: self.held[generation].update(half))
        self.held[generation].update(packed)

    def remove(self, generation: str, users: Sequence[str]) -> None:
        self._called()
        for user in users:
            self.held[generation].pop(user, None)

    def drop(self, generation: str) -> None:
        self._called()
        self.held.pop(generation, None)

    def close(self) -> None:
        pass

    def _called(self, half: Callable[[], None] = lambda: None) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            half()
            raise MissingServer("the sink is away")


def rows_in(sink: MemorySink | RedisSink | MilvusSink, users: Sequence[str]) -> Held:
    """Read rows as a team would: the cursor first, then those that are asked for."""
    cursor = sink.cursor()
    if cursor is None or not cursor.version:
        return {}
    if isinstance(sink, MilvusSink):
        name = sink._collection(cursor.generation)
        found = sink._client.get(name, list(users), output_fields=["*"], consistency_level="Strong")
        return {
            entity["user"]: (
                entity["version"],
                b"".join(float32(number) for number in entity["own"]),
                entity["clicks"],
                entity["last_event_time"],
            )
            for entity in found
        }
    if isinstance(sink, RedisSink):
        values = sink._client.hmget(sink._rows(cursor.generation), list(users))
    else:
        values = [sink.held[cursor.generation].get(user) for user in users]
    unpacked = {u: unpack_row(data, cursor.width) for u, data in zip(users, values, strict=True) if data is not None}
    return {
        u: (v, row.own.astype("<f4").tobytes(), row.clicks, row.last_event_time) for u, (v, row) in unpacked.items()
    }


def float32(number: float) -> bytes:
    return struct.pack("<f", number)


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
