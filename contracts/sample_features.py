"""Any valid `tf.train.Example` that holds a sample: features in any order, packed or not, and unknown ones between.

The slow way, and the one that decides: `contracts.sample_decoding` reads what we write faster, and to the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from contracts.errors import Corrupt, UnknownSchema
from contracts.events import Context, Id, Stage
from contracts.example import features, features_of_example
from contracts.kept import kept
from contracts.sample_columns import CONTINUOUS, DISCRETE, SCHEMA, Joined

# The entries of one sample, in the order of the fields of `Columns`.
Row = tuple[str, str, int, Context, tuple[Id, ...], tuple[Stage, ...], Joined, str, int, int, int, str, int, int]


def row(data: bytes, what: str) -> Row:
    """Return the sample in a serialized Example. Raises `Corrupt` or `UnknownSchema`."""
    try:
        found = features_of_example(data)
        if (schema := _int(found, "schema")) != SCHEMA:
            raise UnknownSchema(f"{what} has sample schema {schema}, this version reads {SCHEMA}")
        return cast(Row, msgspec.convert(_entries(found), Row))
    except (KeyError, ValueError) as error:  # msgspec's ValidationError and UnicodeDecodeError are ValueErrors
        raise Corrupt(what, f"its features ({error})") from None


@kept
def context_of(data: bytes) -> Context:
    """Return the context in serialized features. Raises `ValueError` where there is any other feature."""
    found = features(data)
    if not all(name.startswith((DISCRETE, CONTINUOUS)) for name in found):
        raise ValueError("a feature that is no context's")
    return msgspec.convert(_context(found), Context)


def _entries(found: Mapping[str, Any]) -> tuple[object, ...]:
    negatives, stages = _list(found, "hard_negatives"), _list(found, "hard_negative_stages")
    if len(negatives) != len(stages):
        raise ValueError("as many stages as hard negatives are needed")
    return (
        _text(found, "user_id"),
        _text(found, "item_id"),
        _int(found, "event_time"),
        _context(found),
        [item.decode() for item in negatives],
        [stage.decode() for stage in stages],
        _text(found, "joined"),
        _text(found, "arm"),
        _int(found, "served_version"),
        _int(found, "watermark"),
        _int(found, "ordinal"),
        _text(found, "source_topic"),
        _int(found, "source_partition"),
        _int(found, "source_offset"),
    )


def _context(found: Mapping[str, Any]) -> dict[str, dict[str, str] | dict[str, float]]:
    names = sorted(found)  # protobuf's map has another order in each process
    return {
        "discrete": {n.removeprefix(DISCRETE): _text(found, n) for n in names if n.startswith(DISCRETE)},
        "continuous": {n.removeprefix(CONTINUOUS): _real(found, n) for n in names if n.startswith(CONTINUOUS)},
    }


def _list(found: Mapping[str, Any], name: str) -> list[bytes]:
    return list(found[name].bytes_list.value) if name in found else []


def _text(found: Mapping[str, Any], name: str) -> str:
    (value,) = found[name].bytes_list.value
    return str(value.decode())


def _int(found: Mapping[str, Any], name: str) -> int:
    (value,) = found[name].int64_list.value
    return int(value)


def _real(found: Mapping[str, Any], name: str) -> float:
    (value,) = found[name].float_list.value
    return float(value)
