"""Samples into a TFRecord file: each column becomes the bytes of its feature, then the columns are joined by row.

The bytes are those of protobuf's deterministic serialization of `tf.train.Example`: the features by their names'
bytes, a name after those that it is the beginning of. A feature that repeats within a column is made once.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from contracts.events import Context, Rejected
from contracts.example import NUMBER, REAL, TEXT, field, list_opening, opening, varint
from contracts.framing import frame
from contracts.sample_columns import CONTINUOUS, DISCRETE, SCHEMA, Columns

_FLOAT = struct.Struct("<f")
_WIDEST = 10  # bytes of a 64-bit varint


def encode(columns: Columns) -> bytes:
    """Return the TFRecord file of some samples; the same samples give the same bytes.

    Raises `OverflowError` for a number beyond int64 or float32, `ValueError` for columns of different lengths and for
    text that is no Unicode.
    """
    return frame(records(columns))


def records(columns: Columns) -> list[bytes]:
    """Return each sample as a serialized `tf.train.Example`; raises what `encode` raises."""
    schema = opening("schema", NUMBER, 1) + varint(SCHEMA)
    by_column = (
        _texts("arm", columns.arm),
        _contexts(columns.context),
        _numbers("event_time", columns.event_time),
        _negatives(columns.hard_negatives),
        _texts("item_id", columns.item_id),
        _texts("joined", columns.joined),
        _numbers("ordinal", columns.ordinal),
        [schema] * len(columns.ordinal),
        _numbers("served_version", columns.served_version),
        _numbers("source_offset", columns.source_offset),
        _numbers("source_partition", columns.source_partition),
        _texts("source_topic", columns.source_topic),
        _texts("user_id", columns.user_id),
        _numbers("watermark", columns.watermark),
    )
    bodies = map(b"".join, zip(*by_column, strict=True))
    return [field(len(body)) + body for body in bodies]


def _texts(name: str, texts: Iterable[str]) -> Iterator[bytes]:
    @functools.cache
    def feature(text: str) -> bytes:
        raw = text.encode()
        return opening(name, TEXT, len(raw)) + raw

    return map(feature, texts)


def _contexts(contexts: Iterable[Context]) -> Iterator[bytes]:
    @functools.cache
    def discrete(features: tuple[tuple[str, str], ...]) -> bytes:
        named = [(DISCRETE + name, text.encode()) for name, text in sorted(features, key=_order)]
        return b"".join([opening(name, TEXT, len(raw)) + raw for name, raw in named])

    for context in contexts:
        made = discrete(tuple(context.discrete.items()))
        yield _continuous(context.continuous) + made if context.continuous else made


def _continuous(features: Mapping[str, float]) -> bytes:
    named = sorted(features.items(), key=_order)
    return b"".join([opening(CONTINUOUS + name, REAL, 4) + _FLOAT.pack(number) for name, number in named])


def _order(feature: tuple[str, object]) -> bytes:
    """Sort as protobuf does: by the names' bytes, and a name after those that it is the beginning of."""
    return feature[0].encode() + b"\xff"


def _negatives(negatives: Iterable[Sequence[Rejected]]) -> Iterator[bytes]:
    @functools.cache
    def value(text: str) -> bytes:
        raw = text.encode()
        return field(len(raw)) + raw

    @functools.cache
    def stages(found: tuple[str, ...]) -> bytes:
        values = b"".join(map(value, found))
        return list_opening("hard_negative_stages", TEXT, len(values)) + values

    for rejected in negatives:
        if rejected:
            items = b"".join([value(one.item_id) for one in rejected])
            opened = stages(tuple([one.stage for one in rejected])) + list_opening("hard_negatives", TEXT, len(items))
            yield opened + items
        else:
            yield b""


def _numbers(name: str, numbers: Sequence[int]) -> list[bytes]:
    """Return a feature for each number: a varint of the number as 64 bits."""
    bits = np.array(numbers, np.int64).view(np.uint64)
    groups = bits[:, np.newaxis] >> np.arange(0, 7 * _WIDEST, 7, dtype=np.uint64)
    widths = np.maximum(1, (groups != 0).sum(axis=1))
    made = np.empty(len(bits), object)
    for width in np.unique(widths).tolist():
        rows = np.flatnonzero(widths == width)
        start = np.frombuffer(opening(name, NUMBER, width), np.uint8)
        whole = np.empty((len(rows), len(start) + width), np.uint8)
        whole[:, : len(start)] = start
        whole[:, len(start) :] = groups[rows, :width] & 0x7F | 0x80
        whole[:, -1] &= 0x7F
        made[rows] = whole.view(f"V{whole.shape[1]}").ravel().tolist()
    return made.tolist()
