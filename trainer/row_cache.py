"""The state DB of one (base, partition): the committed overlay, so that a restart need not read the chain of deltas.

Keys: `r` + user → row, `t` + item → count, `a` + user → clicks waiting for admission, `c` → common row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from contracts.deltas import Changes
from contracts.rows import Row, RowTable
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


def encode(changes: Changes, rows: RowTable, admitted: Iterable[str]) -> dict[bytes, bytes | None]:
    """Return the keys to write for a delta: what changed, and nothing else; its rows are those of the table.

    `admitted`: users of the table who may have waited for admission until now.
    """
    common = _Common(changes.common.tobytes(), changes.common_samples)
    found: dict[bytes, bytes | None] = {COMMON: msgspec.msgpack.encode(common)}
    for user in changes.tombstones:
        found[ROW + user.encode()] = found[ADMISSION + user.encode()] = None
    for user, clicks in changes.admission.items():
        found[ADMISSION + user.encode()] = msgspec.msgpack.encode(clicks)
    for user in admitted:
        found[ADMISSION + user.encode()] = None
    found.update(_rows(rows))
    for item, count in changes.trend.items():
        found[TREND + item.encode()] = msgspec.msgpack.encode(count)
    return found


def _rows(rows: RowTable) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of rows."""
    own, width = rows.own.tobytes(), rows.own.shape[1] * rows.own.itemsize
    clicks, times = rows.evidence.clicks.tolist(), rows.evidence.last_event_time.tolist()
    rings, start = [rows.rings.items[code] for code in rows.rings.codes.tolist()], 0
    encode = msgspec.msgpack.Encoder().encode
    for at, (user, end) in enumerate(zip(rows.users, rows.rings.ends.tolist(), strict=True)):
        row = (own[at * width : (at + 1) * width], clicks[at], times[at], rings[start:end])
        yield ROW + user.encode(), encode(row)  # as `_Row`, without making one
        start = end


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
