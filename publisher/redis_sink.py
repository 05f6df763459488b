"""A sink in Redis: one hash of rows by user id, and the cursor, a string that names it.

`<prefix>:cursor` is JSON (`publisher.sinks.Cursor`); `<prefix>:rows:<generation>` maps user ids to `pack_row`'s bytes.
Read the cursor, then HGET. Each row says of which version it is; one that is newer than the cursor's is on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import redis

from contracts.errors import MissingServer
from contracts.rows import Row
from publisher.settings import Sinks
from publisher.sinks import Cursor, pack_row, read_cursor

LINGER_S = 600  # rows under a former name stay for readers that have read the former cursor


class RedisSink:
    """See `publisher.sinks.Sink`."""

    name = "redis"

    def __init__(self, settings: Sinks) -> None:
        self._prefix = settings.prefix.encode()
        seconds = settings.timeout_seconds
        url = settings.redis_url.get_secret_value()
        self._client: Any = redis.Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds)

    def cursor(self) -> Cursor | None:
        """Return what it holds."""
        with _named():
            data = self._client.get(self._cursor)
        return None if data is None else read_cursor(data, "the Redis sink")

    def point(self, cursor: Cursor) -> None:
        """Replace the cursor."""
        with _named():
            self._client.set(self._cursor, msgspec.json.encode(cursor))

    def begin(self, generation: str, width: int) -> None:
        """Make room."""
        with _named():
            self._client.delete(self._rows(generation))

    def put(self, generation: str, version: int, rows: Mapping[str, Row]) -> None:
        """Write rows."""
        with _named():
            self._client.hset(self._rows(generation), mapping={u: pack_row(version, row) for u, row in rows.items()})

    def remove(self, generation: str, users: Sequence[str]) -> None:
        """Delete rows."""
        with _named():
            self._client.hdel(self._rows(generation), *users)

    def drop(self, generation: str) -> None:
        """Let a generation go in ten minutes."""
        with _named():
            self._client.expire(self._rows(generation), LINGER_S)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    @property
    def _cursor(self) -> bytes:
        return self._prefix + b":cursor"

    def _rows(self, generation: str) -> bytes:
        return self._prefix + b":rows:" + generation.encode()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        why = type(error).__name__  # its text may hold the address, and with it a password
        raise MissingServer(
            f"the Redis sink failed: {why}", hint="Start Redis, or empty redis_url in [sinks]."
        ) from None
