"""Topics as other people have them: clicks in JSON, Avro and Protobuf, with and without a registry's header."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

NOON = 1_760_000_000_000
MESSAGE = "shop.Click"
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "Click",
    "namespace": "shop",
    "fields": [
        {"name": "uuid", "type": "string"},
        {
            "name": "visitor",
            "type": {"type": "record", "name": "Visitor", "fields": [{"name": "id", "type": ["null", "string"]}]},
        },
        {"name": "sku", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "device", "type": {"type": "enum", "name": "Device", "symbols": ["phone", "desk"]}},
        {"name": "scroll", "type": ["null", "double"], "default": None},
    ],
}
PATHS: dict[str, Any] = {
    "user": "visitor.id",
    "item": "sku",
    "time": "at",
    "ingest": "at",
    "event_id": "uuid",
    "discrete": {"device": "device"},
    "continuous": {"scroll": "scroll"},
}


def click(number: int, users: int = 37) -> dict[str, Any]:
    """Return one click as its writer knows it."""
    return {
        "uuid": f"c{number}",
        "visitor": {"id": f"u{number % users}"},
        "sku": number % 11 + 1,
        "at": NOON + number * 1000,
        "device": "phone" if number % 2 else "desk",
        "scroll": 0.5,
    }


def json_value(record: dict[str, Any]) -> bytes:
    return msgspec.json.encode(record)


def avro_value(record: dict[str, Any], schema_id: int | None = 7) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(AVRO), record)
    return framed(stream.getvalue(), schema_id)


def protobuf_value(record: dict[str, Any], schema_id: int | None = 9, indexes: bytes = b"\x02\x02") -> bytes:
    """`indexes`: a count of 1, and the second message of the file, both as zigzag numbers."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_set().file:
        pool.Add(file)  # type: ignore[no-untyped-call,unused-ignore]
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName(MESSAGE))
    body = bytes(json_format.ParseDict(record, made()).SerializeToString())
    return body if schema_id is None else framed(indexes + body, schema_id)


def framed(body: bytes, schema_id: int | None) -> bytes:
    """Put the header of a schema registry before a value."""
    return body if schema_id is None else b"\0" + schema_id.to_bytes(4, "big") + body


def write_avro_schema(folder: Path, schema: Any = AVRO) -> Path:
    path = folder / "click.avsc"
    path.write_bytes(msgspec.json.encode(schema))
    return path


def write_descriptor_set(folder: Path) -> Path:
    path = folder / "click.desc"
    path.write_bytes(descriptor_set().SerializeToString())
    return path


def descriptor_set() -> Any:
    """Return what protoc writes for messages Visitor and Click of a file."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="shop/click.proto", package="shop", syntax="proto3")
    visitor, made = file.message_type.add(name="Visitor"), file.message_type.add(name="Click")
    visitor.field.add(name="id", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    made.field.add(name="uuid", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    message = kinds.TYPE_MESSAGE
    made.field.add(name="visitor", number=2, type=message, type_name=".shop.Visitor", label=kinds.LABEL_OPTIONAL)
    for number, (name, kind) in enumerate(
        (
            ("sku", kinds.TYPE_INT64),
            ("at", kinds.TYPE_INT64),
            ("device", kinds.TYPE_STRING),
            ("scroll", kinds.TYPE_DOUBLE),
        ),
        start=3,
    ):
        made.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    return descriptor_pb2.FileDescriptorSet(file=[file])
