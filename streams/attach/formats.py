"""From the bytes of a record to plain values: JSON, Avro and Protobuf, plain or with a schema registry's header.

The header is Confluent's wire format: a zero byte, the schema's id as 4 bytes, big endian; for Protobuf then the place
of the message in its file. A record is untrusted: a decoder gives a value or raises ValueError, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from contracts.errors import MissingInput
from streams.attach import avro, protobuf
from streams.attach.settings import AnySource

Decode = Callable[[bytes], object]

_HEADER_BYTES = 5


def decoder(source: AnySource) -> Decode:
    """Return the decoder of a source's values. Raises `UsageError`, `MissingInput` for its schema file."""
    payload = _payload(source)
    if source.framing == "none":
        return payload
    ids = frozenset(source.schema_ids)
    return lambda value: payload(_unframed(value, ids))


def schema_id(value: bytes) -> int | None:
    """Return the schema id in a registry's header; None if there can be no header."""
    return int.from_bytes(value[1:_HEADER_BYTES]) if len(value) >= _HEADER_BYTES and value[0] == 0 else None


def _payload(source: AnySource) -> Decode:
    match source.format:
        case "json":
            return _json
        case "avro":
            return avro.reader(*_read(source.schema_file))
        case "protobuf":
            return protobuf.reader(*_read(source.schema_file), source.message, source.framing == "confluent")


def _read(path: Path | None) -> tuple[Path, bytes]:
    named = path or Path()
    try:
        return named, named.read_bytes()
    except OSError as error:
        raise MissingInput(
            f"schema_file {named} cannot be read: {error.strerror or error}",
            hint="Name it relative to the folder where the command runs, or in full.",
        ) from None


def _unframed(value: bytes, ids: frozenset[int]) -> bytes:
    found = schema_id(value)
    if found is None:
        raise ValueError(f"no header of a schema registry: it begins with {value[:_HEADER_BYTES].hex() or 'nothing'}")
    if ids and found not in ids:
        raise ValueError(f"schema id {found} is none of {', '.join(map(str, sorted(ids)))}")
    return value[_HEADER_BYTES:]


def _json(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except RecursionError:
        raise ValueError("brackets nest too deep") from None
