"""User vectors that were computed before: first in memory, then, if one is named, in a Redis that replicas share.

Keys hold the digest of the served manifest, so that a vector of one version can never answer for another: a swap needs
no invalidation. Redis is only a cache: what is not there, or not a vector, is computed, and an outage is only slower.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
import numpy as np

from contracts.arrays import Floats
from contracts.events import Context
from serving.settings import ServingSettings
from serving.user_tower import UserTower
from serving.user_view import User

PREFIX = b"freshet:vector:"
_encoder = msgspec.msgpack.Encoder(order="deterministic")
_log = logging.getLogger(__name__)


class Shared(Protocol):
    """A cache beside this process: `SharedVectors`, or `NothingShared`. `away`: why it does not answer, else empty."""

    away: str

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what is held under each key, None where nothing is or the cache is away."""

    def put(self, values: dict[bytes, bytes]) -> None:
        """Hold the values for a while, if the cache is there."""


class NothingShared:
    """No second cache."""

    away = ""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return nothing."""
        return [None] * len(keys)

    def put(self, values: dict[bytes, bytes]) -> None:
        """Hold nothing."""


class SharedVectors:
    """Vectors in Redis. Away: it is left alone for `retry_seconds`, and everything is computed meanwhile."""

    def __init__(self, settings: ServingSettings) -> None:
        import redis  # only where it is used

        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._client: Any = redis.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=settings.redis_timeout_seconds,
            socket_connect_timeout=settings.redis_timeout_seconds,
        )
        self._seconds = settings.redis_keep_seconds
        self._retry = settings.retry_seconds
        self._away_until = 0.0
        self.away = ""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what Redis holds."""
        found = self._asked(lambda client: client.mget(list(keys)))
        return [None] * len(keys) if found is None else list(found)

    def put(self, values: dict[bytes, bytes]) -> None:
        """Hold the values in Redis for as long as the setting says."""
        self._asked(lambda client: _set_all(client, values, self._seconds))

    def why_away(self) -> str:
        """Ask whether Redis is there, now; return why not, empty if it is."""
        try:
            self._client.ping()
        except self._failures as error:
            return type(error).__name__  # its text may hold the address, and with it a password
        return ""

    def _asked(self, ask: Any) -> Any:
        if time.monotonic() < self._away_until:
            return None
        try:
            answer = ask(self._client)
            self.away = ""
            return answer
        except self._failures as error:
            self._away_until = time.monotonic() + self._retry
            self.away = type(error).__name__  # its text may hold the address, and with it a password
            _log.warning("Redis does not answer (%s): vectors are computed for %g s", self.away, self._retry)
            return None


def shared(settings: ServingSettings) -> Shared:
    """Return the second cache of the settings."""
    return SharedVectors(settings) if settings.redis_url.get_secret_value() else NothingShared()


def _set_all(client: Any, values: dict[bytes, bytes], seconds: int) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for key, value in values.items():
            pipeline.set(key, value, ex=seconds)
        pipeline.execute()


class Counts:
    """User vectors by where they came from, since the process began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = {"memory": 0, "redis": 0, "computed": 0}

    def add(self, source: str, number: int) -> None:
        """Count so many more."""
        with self._lock:
            self._numbers[source] += number

    def now(self) -> dict[str, int]:
        """Return the numbers of one moment."""
        with self._lock:
            return dict(self._numbers)


class VectorCache:
    """The user vectors of one view. `view_key` names its content: rows and tower. Safe for any number of threads."""

    def __init__(self, tower: UserTower, view_key: str, keep: int, beside: Shared, counts: Counts) -> None:
        self._tower, self._keep, self._shared = tower, keep, beside
        self.view_key, self._counts = view_key, counts
        self._redis_key = blake2b(view_key.encode()).digest()
        self._held: OrderedDict[bytes, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def of_another_view(self, view_key: str) -> VectorCache:
        """Return the cache of another view with the same tower; it begins empty."""
        return VectorCache(self._tower, view_key, self._keep, self._shared, self._counts)

    def vectors(self, users: Sequence[User], contexts: Sequence[Context]) -> Floats:
        """Return user vectors, float32 [n, width]: as the tower computes them, whether it does or did."""
        if not self._keep and isinstance(self._shared, NothingShared):
            self._counts.add("computed", len(users))
            return self._tower.vectors(_embeddings(users), contexts)
        keys = [_key(user, context) for user, context in zip(users, contexts, strict=True)]
        found = self._in_memory(keys)
        self._counts.add("memory", sum(key in found for key in keys))
        missing = list(dict.fromkeys(key for key in keys if key not in found))
        if missing:
            new = self._beside(missing)
            absent = [key for key in missing if key not in new]
            if absent:
                new |= self._computed(absent, {key: at for at, key in enumerate(keys)}, users, contexts)
            self._keep_new(new)
            found |= new
        return np.stack([found[key] for key in keys])

    def _in_memory(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        with self._lock:
            found = {key: self._held[key] for key in keys if key in self._held}
            for key in found:
                self._held.move_to_end(key)
        return found

    def _beside(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return those vectors that the second cache holds: bytes of another length, or no finite numbers, are none."""
        found = {}
        for key, data in zip(keys, self._shared.get([self._name(key) for key in keys]), strict=True):
            if data is not None and len(data) == 4 * self._tower.width:
                vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
                if np.isfinite(vector).all():
                    found[key] = vector
        self._counts.add("redis", len(found))
        return found

    def _computed(
        self, absent: Sequence[bytes], at: dict[bytes, int], users: Sequence[User], contexts: Sequence[Context]
    ) -> dict[bytes, Floats]:
        places = [at[key] for key in absent]
        vectors = self._tower.vectors(_embeddings([users[n] for n in places]), [contexts[n] for n in places])
        self._counts.add("computed", len(absent))
        new = dict(zip(absent, vectors, strict=True))
        self._shared.put({self._name(key): vector.astype("<f4").tobytes() for key, vector in new.items()})
        return new

    def _keep_new(self, new: dict[bytes, Floats]) -> None:
        with self._lock:
            self._held.update(new)
            while len(self._held) > self._keep:
                self._held.popitem(last=False)

    def _name(self, key: bytes) -> bytes:
        """Return the name in Redis: user ids and contexts are not to be read there."""
        return PREFIX + blake2b(key, digest_size=24, key=self._redis_key).hexdigest().encode()


def _key(user: User, context: Context) -> bytes:
    """Return what the vector is a function of, within one view: users without a row share the common row's."""
    return _encoder.encode((user.user_id if user.row else None, context.discrete, context.continuous))


def _embeddings(users: Sequence[User]) -> Floats:
    return np.stack([user.id_embedding for user in users])
