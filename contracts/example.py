"""`tf.train.Example` on the wire: what opens a feature there, and the parser for any Example (protobuf's own).

An Example is a map of features by name; a feature is a list of bytes, of floats or of int64
(tensorflow/core/example/example.proto and feature.proto).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

TEXT, REAL, NUMBER = 1, 2, 3  # the fields of Feature: bytes_list, float_list, int64_list
TAG = b"\n"  # field 1, length-delimited: the map, its keys, the values of all three lists
VALUE_TAG = b"\x12"  # field 2, length-delimited: the values of the map

_PROTO = """
name: "example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".tensorflow.BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".tensorflow.Int64List" oneof_index: 0 }
  oneof_decl { name: "kind" }
}
message_type {
  name: "Features"
  field {
    name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".tensorflow.Features.FeatureEntry"
  }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.Feature" }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".tensorflow.Features" }
}
"""


def varint(number: int) -> bytes:
    """Return a number from 0 on as protobuf writes it: seven bits a byte, the lowest first."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


@functools.lru_cache(maxsize=1 << 14)
def field(length: int) -> bytes:
    """Return what stands before `length` bytes of a field 1: its tag and the length."""
    return TAG + varint(length)


@functools.lru_cache(maxsize=1 << 14)
def list_opening(name: str, kind: int, length: int) -> bytes:
    """Return what stands before a feature's list of `length` bytes: the map entry, its key, the tags and lengths."""
    feature = bytes([kind << 3 | 2]) + varint(length)
    key = name.encode()
    entry = field(len(key)) + key + VALUE_TAG + varint(len(feature) + length) + feature
    return field(len(entry) + length) + entry


@functools.lru_cache(maxsize=1 << 14)
def opening(name: str, kind: int, length: int) -> bytes:
    """Return what stands before the `length` bytes of a feature's only value: a text, a packed varint or float."""
    value = field(length)
    return list_opening(name, kind, len(value) + length) + value


def features_of_example(data: bytes) -> dict[str, Any]:
    """Return the features in a serialized `Example` by name. Raises `ValueError` where it is none."""
    try:
        return dict(_parser("Example")(data).features.feature)
    except DecodeError as error:
        raise ValueError(str(error)) from None


def features(data: bytes) -> dict[str, Any]:
    """Return the features in a serialized `Features` message by name. Raises `ValueError` where it is none."""
    try:
        return dict(_parser("Features")(data).feature)
    except DecodeError as error:
        raise ValueError(str(error)) from None


def texts(data: bytes) -> list[bytes]:
    """Return the values in a serialized `BytesList`. Raises `ValueError` where it is none."""
    try:
        return list(_parser("BytesList")(data).value) if data else []
    except DecodeError as error:
        raise ValueError(str(error)) from None


@functools.cache
def _parser(name: str) -> Callable[[bytes], Any]:
    made: Callable[[bytes], Any] = message_factory.GetMessageClass(
        _pool().FindMessageTypeByName(f"tensorflow.{name}")
    ).FromString
    return made


@functools.cache
def _pool() -> Any:
    """Make the messages in a pool of their own: another package may bring messages of the same names."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto()))
    return pool
