"""The state DB of one (base, partition): the committed overlay, so that a restart need not read the chain of deltas.

Keys: `r` + user → row, `t` + item → count, `a` + user → clicks waiting for admission, `c` → common row.
"""

from __future__ import annotations

import msgspec
import numpy as np

from contracts.deltas import Changes
from contracts.rows import Row
from contracts.state_db import StateDB

ROW, TREND, ADMISSION, COMMON = b"r", b"t", b"a", b"c"


class _Row(msgspec.Struct, array_like=True):
    own: bytes
    clicks: int
    last_event_time: int
    ring: tuple[str, ...]


class _Common(msgspec.Struct, array_like=True):
    row: bytes
    samples: int


def encode(changes: Changes) -> dict[bytes, bytes | None]:
    """Return the keys to write for a delta: what changed, and nothing else."""
    common = _Common(changes.common.tobytes(), changes.common_samples)
    found: dict[bytes, bytes | None] = {COMMON: msgspec.msgpack.encode(common)}
    for user in changes.tombstones:
        found[ROW + user.encode()] = found[ADMISSION + user.encode()] = None
    for user, clicks in changes.admission.items():
        found[ADMISSION + user.encode()] = msgspec.msgpack.encode(clicks)
    for user, row in changes.rows.items():
        packed = _Row(row.own.tobytes(), row.clicks, row.last_event_time, row.ring)
        found[ROW + user.encode()] = msgspec.msgpack.encode(packed)
        found[ADMISSION + user.encode()] = None
    for item, count in changes.trend.items():
        found[TREND + item.encode()] = msgspec.msgpack.encode(count)
    return found


def load(state: StateDB) -> Changes | None:
    """Return the overlay that the DB holds; None when nothing was ever committed."""
    data = state.get(COMMON)
    if data is None:
        return None
    common = msgspec.msgpack.decode(data, type=_Common)
    overlay = Changes(_floats(common.row), common.samples)
    for key, value in state.scan(ROW):
        row = msgspec.msgpack.decode(value, type=_Row)
        overlay.rows[key.decode()] = Row(_floats(row.own), row.clicks, row.last_event_time, row.ring)
    for key, value in state.scan(TREND):
        overlay.trend[key.decode()] = msgspec.msgpack.decode(value, type=float)
    for key, value in state.scan(ADMISSION):
        overlay.admission[key.decode()] = msgspec.msgpack.decode(value, type=int)
    return overlay


def _floats(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.frombuffer(data, dtype=np.float32)
