"""Boundary 2: the sample, one positive as a `tf.train.Example` in a TFRecord file. docs/formats.md has the table.

TensorFlow and the tfrecord package read what `encode` writes. A TFRecord is: length (uint64), masked CRC-32C of the
length, data, masked CRC-32C of the data (tensorflow/core/lib/io/record_writer.h).
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import google_crc32c
import msgspec

from contracts.errors import Corrupt, UnknownSchema
from contracts.events import Context, Rejected

SCHEMA = 1
Joined = Literal["direct", "request", "orphan", "late"]

_CRC_MASK = 0xA282EAD8
_DISCRETE, _CONTINUOUS = "context/discrete/", "context/continuous/"


class Source(msgspec.Struct, frozen=True):
    """The record that a sample comes from: where the click stood in the log."""

    topic: str
    partition: int
    offset: int


class Sample(msgspec.Struct, frozen=True):
    """One positive. `context` as it was at request time; `hard_negatives`: what ranking rejected in that request.

    `watermark` (ms) is the joiner's at emission, `ordinal` the sample's number in its partition, from 0.
    """

    user_id: str
    item_id: str
    event_time: int
    context: Context
    hard_negatives: tuple[Rejected, ...]
    joined: Joined
    arm: str
    served_version: int
    watermark: int
    ordinal: int
    source: Source


def encode(sample: Sample) -> bytes:
    """Return the sample as a serialized `tf.train.Example`; the same sample gives the same bytes."""
    example = _tfrecord().example_pb2.Example()
    feature = example.features.feature
    for name, number in _numbers(sample).items():
        feature[name].int64_list.value.append(number)
    for name, text in _texts(sample).items():
        feature[name].bytes_list.value.append(text.encode())
    for negative in sample.hard_negatives:
        feature["hard_negatives"].bytes_list.value.append(negative.item_id.encode())
        feature["hard_negative_stages"].bytes_list.value.append(negative.stage.encode())
    for name, real in sample.context.continuous.items():
        feature[_CONTINUOUS + name].float_list.value.append(real)
    return bytes(example.SerializeToString(deterministic=True))


def decode(data: bytes, what: str = "a sample") -> Sample:
    """Return the sample in a serialized Example. Raises `Corrupt` or `UnknownSchema`."""
    try:
        example = _tfrecord().example_pb2.Example.FromString(data)
    except Exception as error:  # protobuf's DecodeError; the package does not promise which class
        raise Corrupt(what, f"its protobuf ({error})") from None
    feature = example.features.feature
    try:
        if (schema := _int(feature, "schema")) != SCHEMA:
            raise UnknownSchema(f"{what} has sample schema {schema}, this version reads {SCHEMA}")
        return msgspec.convert(_fields(feature), Sample)
    except (KeyError, ValueError) as error:  # msgspec's ValidationError and UnicodeDecodeError are ValueErrors
        raise Corrupt(what, f"its features ({error})") from None


def frame(records: Iterable[bytes]) -> bytes:
    """Return the bytes of a TFRecord file that holds `records`."""
    parts: list[bytes] = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += (length, _masked_crc(length), record, _masked_crc(record))
    return b"".join(parts)


def unframe(data: bytes, what: str = "a TFRecord file") -> Iterator[bytes]:
    """Yield the records of a TFRecord file. Raises `Corrupt` with the byte offset of a torn tail or a wrong CRC."""
    at = 0
    while at < len(data):
        head = data[at : at + 12]
        if len(head) < 12 or _masked_crc(head[:8]) != head[8:]:
            raise Corrupt(what, f"byte {at}")
        (length,) = struct.unpack_from("<Q", head)
        record, crc = data[at + 12 : at + 12 + length], data[at + 12 + length : at + 16 + length]
        if len(record) < length or _masked_crc(record) != crc:
            raise Corrupt(what, f"byte {at}")
        yield record
        at += 16 + length


def digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over everything but `source`, in order: equal for a live run and its replay."""
    hashed = hashlib.sha256()
    for sample in samples:
        anonymous = msgspec.structs.replace(sample, source=Source("", 0, 0))
        hashed.update(msgspec.msgpack.encode(anonymous, order="deterministic"))
    return hashed.hexdigest()


@functools.cache
def _tfrecord() -> Any:
    """Import the tfrecord package when a sample is first touched: it imports torch where torch is installed."""
    import tfrecord

    return tfrecord


def _numbers(sample: Sample) -> dict[str, int]:
    return {
        "schema": SCHEMA,
        "event_time": sample.event_time,
        "served_version": sample.served_version,
        "watermark": sample.watermark,
        "ordinal": sample.ordinal,
        "source_partition": sample.source.partition,
        "source_offset": sample.source.offset,
    }


def _texts(sample: Sample) -> dict[str, str]:
    texts = {
        "user_id": sample.user_id,
        "item_id": sample.item_id,
        "joined": sample.joined,
        "arm": sample.arm,
        "source_topic": sample.source.topic,
    }
    return texts | {_DISCRETE + name: text for name, text in sample.context.discrete.items()}


def _fields(feature: Mapping[str, Any]) -> dict[str, Any]:
    negatives = zip(_list(feature, "hard_negatives"), _list(feature, "hard_negative_stages"), strict=True)
    return {
        **{name: _text(feature, name) for name in ("user_id", "item_id", "joined", "arm")},
        **{name: _int(feature, name) for name in ("event_time", "served_version", "watermark", "ordinal")},
        "context": {
            "discrete": {n.removeprefix(_DISCRETE): _text(feature, n) for n in feature if n.startswith(_DISCRETE)},
            "continuous": {
                n.removeprefix(_CONTINUOUS): _real(feature, n) for n in feature if n.startswith(_CONTINUOUS)
            },
        },
        "hard_negatives": [{"item_id": item.decode(), "stage": stage.decode()} for item, stage in negatives],
        "source": {
            "topic": _text(feature, "source_topic"),
            "partition": _int(feature, "source_partition"),
            "offset": _int(feature, "source_offset"),
        },
    }


def _list(feature: Mapping[str, Any], name: str) -> list[bytes]:
    return list(feature[name].bytes_list.value) if name in feature else []


def _text(feature: Mapping[str, Any], name: str) -> str:
    (value,) = _present(feature, name).bytes_list.value
    return str(value.decode())


def _int(feature: Mapping[str, Any], name: str) -> int:
    (value,) = _present(feature, name).int64_list.value
    return int(value)


def _real(feature: Mapping[str, Any], name: str) -> float:
    (value,) = _present(feature, name).float_list.value
    return float(value)


def _present(feature: Mapping[str, Any], name: str) -> Any:
    if name not in feature:  # a protobuf map would make it up
        raise KeyError(name)
    return feature[name]


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _CRC_MASK) & 0xFFFFFFFF)
