"""Samples into a TFRecord file: each column becomes the bytes of its feature, then the columns are joined by row.

The bytes are those of protobuf's deterministic serialization of `tf.train.Example`: the features by their names'
bytes, a name after those that it is the beginning of. A feature that repeats within a column is made once.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.events import Context
from contracts.example import NUMBER, REAL, TEXT, field, list_opening, opening, varint
from contracts.framing import frame
from contracts.kept import kept
from contracts.sample_columns import CONTINUOUS, DISCRETE, SCHEMA, Columns

Key = TypeVar("Key", bound=Hashable)

_FLOAT = struct.Struct("<f")
_pack = msgspec.msgpack.Encoder().encode
_continuous_of = operator.attrgetter("continuous")


def encode(columns: Columns) -> bytes:
    """Return the TFRecord file of some samples; the same samples give the same bytes.

    Raises `OverflowError` for a number beyond int64 or float32, `ValueError` for columns of different lengths and for
    text that is no Unicode.
    """
    return frame(_bodies(columns), field)


def records(columns: Columns) -> list[bytes]:
    """Return each sample as a serialized `tf.train.Example`; raises what `encode` raises."""
    return [field(len(body)) + body for body in _bodies(columns)]


def _bodies(columns: Columns) -> list[bytes]:
    """Return each sample as the features of an Example: an entry of the map after the other."""
    if len({len(getattr(columns, name)) for name in Columns.__slots__}) > 1:
        raise ValueError("the columns have different lengths")
    middle = (
        _choices("joined", columns.joined),
        _numbers("ordinal", columns.ordinal),
        _same("schema", SCHEMA, len(columns.ordinal)),
        _numbers("served_version", columns.served_version),
        _numbers("source_offset", columns.source_offset),
        _numbers("source_partition", columns.source_partition),
        _choices("source_topic", columns.source_topic),
    )
    by_column = (
        _texts("arm", columns.arm),
        _contexts(columns.context),
        _joined([_numbers("event_time", columns.event_time)]),
        _negatives(columns.hard_negatives, columns.hard_negative_stages),
        _texts("item_id", columns.item_id),
        _joined(middle),
        _texts("user_id", columns.user_id),
        _joined([_numbers("watermark", columns.watermark)]),
    )
    return list(map(b"".join, zip(*by_column, strict=True)))


class _Made(dict[Key, bytes]):
    """What `make` makes of each key, made once."""

    def __init__(self, make: Callable[[Key], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> bytes:
        made = self[key] = self._make(key)
        return made


def _texts(name: str, texts: Sequence[str]) -> list[bytes]:
    before = _Made[int](lambda length: opening(name, TEXT, length))
    if texts and texts.count(texts[0]) == len(texts):
        raw = texts[0].encode()
        return [before[len(raw)] + raw] * len(texts)
    return [before[len(raw)] + raw for raw in map(str.encode, texts)]


def _contexts(contexts: Sequence[Context]) -> list[bytes]:
    discrete = _Made(_discrete)
    made = [
        discrete[_pack(context.discrete)] for context in contexts
    ]  # packed is the quickest key that a dict can have
    if not any(map(_continuous_of, contexts)):
        return made
    return [_continuous(context.continuous) + after for context, after in zip(contexts, made, strict=True)]


@kept
def _discrete(packed: bytes) -> bytes:
    features: dict[str, str] = msgspec.msgpack.decode(packed)
    named = [(DISCRETE + name, text.encode()) for name, text in sorted(features.items(), key=_order)]
    return b"".join([opening(name, TEXT, len(raw)) + raw for name, raw in named])


def _continuous(features: Mapping[str, float]) -> bytes:
    named = sorted(features.items(), key=_order)
    return b"".join([opening(CONTINUOUS + name, REAL, 4) + _FLOAT.pack(number) for name, number in named])


def _order(feature: tuple[str, object]) -> bytes:
    """Sort as protobuf does: by the names' bytes, and a name after those that it is the beginning of."""
    return feature[0].encode() + b"\xff"


def _negatives(negatives: Sequence[Sequence[str]], stages: Sequence[tuple[str, ...]]) -> list[bytes]:
    if not any(negatives):
        return [b""] * len(negatives)
    opened, staged = _Made[int](lambda length: list_opening("hard_negatives", TEXT, length)), _Made(_stages)
    values = _values(chain.from_iterable(negatives))
    made = list[bytes]()
    for items, at in zip(negatives, stages, strict=True):
        if len(items) != len(at):
            raise ValueError("as many stages as hard negatives are needed")
        listed = b"".join(islice(values, len(items)))
        made.append(staged[at] + opened[len(listed)] + listed if items else b"")
    return made


def _stages(stages: tuple[str, ...]) -> bytes:
    values = b"".join(_values(stages))
    return list_opening("hard_negative_stages", TEXT, len(values)) + values


def _values(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield each text as a value of a list."""
    before = _Made(field)
    return (before[len(raw)] + raw for raw in map(str.encode, texts))


@dataclass(frozen=True)
class _Feature:
    """A feature of each of some samples: the bytes `starts[code]`, and then so many of its `octets` as that tells.

    codes: int64 [n]; starts: bytes and a width by code; octets: uint8 [n, the greatest width].
    """

    codes: NDArray[np.int64]
    starts: dict[int, tuple[bytes, int]]
    octets: NDArray[np.uint8]


def _numbers(name: str, numbers: Sequence[int]) -> _Feature:
    """Return a feature for each number: a varint of the number as 64 bits; its code is its width."""
    if numbers and numbers.count(numbers[0]) == len(numbers):
        return _same(name, numbers[0], len(numbers))
    bits = np.array(numbers, np.int64).view(np.uint64)
    widest = max(1, -(-int(bits.max(initial=0)).bit_length() // 7))
    groups = bits[:, np.newaxis] >> np.arange(0, 7 * widest, 7, dtype=np.uint64)
    more = groups > 0x7F
    octets = (groups & 0x7F | more.astype(np.uint64) << 7).astype(np.uint8)
    starts = {width: (opening(name, NUMBER, width), width) for width in range(1, widest + 1)}
    return _Feature(1 + more.sum(axis=1), starts, octets)


def _same(name: str, number: int, count: int) -> _Feature:
    """Return a feature of so many samples that all have the same number. Raises `OverflowError` beyond int64."""
    written = varint(int(np.int64(number).view(np.uint64)))
    starts = {0: (opening(name, NUMBER, len(written)) + written, 0)}
    return _Feature(np.zeros(count, np.int64), starts, np.empty((count, 0), np.uint8))


def _choices(name: str, texts: Sequence[str]) -> _Feature:
    """Return a feature for each text out of few."""
    known = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    starts = {code: (made, 0) for code, made in enumerate(_texts(name, list(known)))}
    codes = np.fromiter(map(known.__getitem__, texts), np.int64, len(texts))
    return _Feature(codes, starts, np.empty((len(texts), 0), np.uint8))


def _joined(features: Sequence[_Feature]) -> list[bytes]:
    """Return the features of each sample after each other; samples with equal codes are made together."""
    shapes = np.zeros(len(features[0].codes), np.int64)
    for feature in features:
        shapes = shapes * (max(feature.starts, default=0) + 1) + feature.codes
    made = np.empty(len(shapes), object)
    for shape in np.unique(shapes).tolist():
        rows = np.flatnonzero(shapes == shape)
        parts = list[NDArray[np.uint8]]()
        for feature in features:
            start, width = feature.starts[int(feature.codes[rows[0]])]
            parts += [np.tile(np.frombuffer(start, np.uint8), (len(rows), 1)), feature.octets[rows, :width]]
        whole = np.ascontiguousarray(np.hstack(parts))
        made[rows] = whole.view(f"V{whole.shape[1]}").ravel().tolist()
    return made.tolist()
