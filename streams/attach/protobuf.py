"""Protobuf values by a descriptor set, as protoc writes it, and the full name of a message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.errors import UsageError

_MOST_INDEXES = 64
_PROTOC = "`protoc --include_imports --descriptor_set_out=FILE X.proto` makes it; `message` is like package.Name."


def reader(path: Path, data: bytes, name: str, framed: bool) -> Callable[[bytes], object]:
    """Return the function from bytes to values, keys as in the .proto file; it raises ValueError.

    `framed`: message indexes stand before the message. A field without presence that was not set is its default:
    a missing text, a zero. Raises `UsageError` for the descriptor set.
    """
    from google.protobuf import json_format, message, message_factory  # only who has such topics waits for it

    pool, descriptor = _descriptor(path, data, name)
    made = message_factory.GetMessageClass(descriptor)
    place = _place(descriptor) if framed else []

    def read(value: bytes) -> object:
        body = _at_place(value, place) if framed else value
        try:
            return json_format.MessageToDict(
                made.FromString(body),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
                descriptor_pool=pool,
            )
        except (message.DecodeError, json_format.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no message {name}: {error}") from None

    return read


def _descriptor(path: Path, data: bytes, name: str) -> tuple[Any, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message

    pool = descriptor_pool.DescriptorPool()
    try:
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            pool.Add(file)
        return pool, pool.FindMessageTypeByName(name)
    except KeyError:
        raise UsageError(f"schema_file {path} has no message {name!r}", hint=_PROTOC) from None
    except (message.DecodeError, TypeError) as error:
        raise UsageError(f"schema_file {path} is no descriptor set: {error}", hint=_PROTOC) from None


def _place(descriptor: Any) -> list[int]:
    """Return where a message stands in its file: its number, after those of the messages that it is inside of."""
    outer = descriptor.containing_type
    beside = [one.name for one in outer.nested_types] if outer else list(descriptor.file.message_types_by_name)
    return [*(_place(outer) if outer else []), beside.index(descriptor.name)]


def _at_place(value: bytes, place: list[int]) -> bytes:
    """Return what follows the message indexes; they must say `place`. Their count 0 stands for the first message."""
    count, at = _zigzag(value, 0)
    if not 0 <= count <= _MOST_INDEXES:
        raise ValueError(f"{count} message indexes after the header of the schema registry")
    found = [] if count else [0]
    for _ in range(count):
        index, at = _zigzag(value, at)
        found.append(index)
    if found != place:
        raise ValueError(f"another message of its file: number {found}, and {place} is meant")
    return value[at:]


def _zigzag(value: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(value) and shift < 35:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
    raise ValueError("the message indexes after the header of the schema registry are torn")
