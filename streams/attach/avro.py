"""Avro values by one schema file. What would crash or choke the reader on hostile bytes is refused as a schema."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import UsageError

# What fastavro raises for bytes that its schema did not write.
_FOREIGN = (ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError, RecursionError)


def reader(path: Path, text: bytes) -> Callable[[bytes], object]:
    """Return the function from bytes to values; it raises ValueError. Raises `UsageError` for the schema.

    Logical types are taken off: a time stays the number that it is, in the unit that it is in.
    """
    import fastavro  # only who has such topics waits for it

    try:
        schema = fastavro.parse_schema(_plain(msgspec.json.decode(text)))
        _Refusal().walk(schema, ())
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, *_FOREIGN) as error:
        raise UsageError(
            f"schema_file {path} is no Avro schema that can be used: {error}",
            hint="It has to be one .avsc file that holds every type it names.",
        ) from None

    def read(value: bytes) -> object:
        stream = BytesIO(value)
        try:
            record = fastavro.schemaless_reader(stream, schema, None)
        except _FOREIGN as error:
            raise ValueError(f"not written by this Avro schema: {type(error).__name__} {error}") from None
        if left := len(value) - stream.tell():
            raise ValueError(f"not written by this Avro schema: {left} bytes are left over")
        return record

    return read


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


class _Refusal:
    """Looks for what a few bytes could blow up.

    A type inside itself: the reader descends on the machine's stack, without a limit. An array of elements that take
    no bytes: one number makes it any length.
    """

    def __init__(self) -> None:
        self._empty = {"null"}

    def walk(self, schema: Any, inside: tuple[str, ...]) -> bool:
        """Return whether a value takes no bytes. Raises ValueError; `inside`: the named types around it."""
        if isinstance(schema, str):
            if schema in inside:
                raise ValueError(f"type {schema} holds itself, and such values could nest without end")
            return schema in self._empty
        if isinstance(schema, list):
            for one in schema:
                self.walk(one, inside)
            return False
        return self._walk_table(schema, inside)

    def _walk_table(self, schema: Any, inside: tuple[str, ...]) -> bool:
        match schema["type"]:
            case "array":
                if self.walk(schema["items"], inside):
                    raise ValueError("an array of elements that take no bytes")
                return False
            case "map":
                self.walk(schema["values"], inside)
                return False
            case "record" | "error":
                empty = [self.walk(field["type"], (*inside, schema["name"])) for field in schema["fields"]]
                return self._named(schema["name"], all(empty))
            case "fixed":
                return self._named(schema["name"], not schema["size"])
            case "enum":
                return False
            case other:
                return self.walk(other, inside)

    def _named(self, name: str, empty: bool) -> bool:
        if empty:
            self._empty.add(name)
        return empty
