"""A TFRecord file into samples: what `contracts.sample_encoding` writes in lockstep, any other record by itself.

Whichever way a record goes, what comes of it is what `contracts.sample_features` says.
"""

from __future__ import annotations

import functools
from itertools import islice
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.events import Id, Stage
from contracts.example import TAG, TEXT, texts
from contracts.framing import starts, unframe
from contracts.lockstep import PADDING, Ints, Lockstep
from contracts.sample_columns import SCHEMA, Columns, Joined
from contracts.sample_features import context_of, row

_JOINED = {name.encode(): name for name in get_args(Joined)}


def decode(data: bytes, what: str = "a TFRecord file") -> Columns:
    """Return the samples of a TFRecord file. Raises `Corrupt` or `UnknownSchema`, and names the record, from 0 on."""
    records = unframe(data, what)
    try:
        columns, read = _in_lockstep(data, records)
    except ValueError:  # a value of one of them is none, or two disagree: which one, the slow way tells
        columns, read = [[None] * len(records) for _ in Columns.__slots__], np.zeros(len(records), np.bool_)
    for number in np.flatnonzero(~read).tolist():
        for column, entry in zip(columns, row(records[number], f"record {number} of {what}"), strict=True):
            column[number] = entry
    return Columns(*columns)


def _in_lockstep(data: bytes, records: list[bytes]) -> tuple[list[list[Any]], NDArray[np.bool_]]:
    """Return the entries of all samples, column by column, and for which of them they hold."""
    begin = starts(records)
    ends = begin + np.fromiter(map(len, records), np.int64, len(records))
    reader = Lockstep(np.frombuffer(data + PADDING, np.uint8), begin)
    reader.expect(TAG)
    reader.ok &= reader.end() == ends
    arm, context = reader.value("arm", TEXT), reader.features("context/")
    event_time = reader.number("event_time")
    stages, negatives = reader.list("hard_negative_stages"), reader.list("hard_negatives")
    item, joined = reader.value("item_id", TEXT), reader.value("joined", TEXT)
    ordinal = reader.number("ordinal")
    reader.ok &= reader.number("schema") == SCHEMA
    served_version, offset = reader.number("served_version"), reader.number("source_offset")
    partition, topic = reader.number("source_partition"), reader.value("source_topic", TEXT)
    user, watermark = reader.value("user_id", TEXT), reader.number("watermark")
    reader.ok &= reader.at == ends
    counts, *rejected = reader.texts(negatives)

    def cut(start: Ints, end: Ints) -> list[bytes]:
        return [data[first:last] for first, last in zip(start.tolist(), end.tolist(), strict=True)]

    def each(span: tuple[Ints, Ints]) -> list[bytes]:
        return cut(*(np.where(reader.ok, bound, 0) for bound in span))

    text = functools.cache(bytes.decode)
    how = list(map(_JOINED.get, each(joined)))
    columns = [
        list(map(text, each(user))),
        list(map(text, each(item))),
        event_time.tolist(),
        list(map(functools.cache(context_of), each(context))),
        *_negatives(list(map(text, cut(*rejected))), counts.tolist(), each(stages)),
        how,
        list(map(text, each(arm))),
        *(numbers.tolist() for numbers in (served_version, watermark, ordinal)),
        list(map(text, each(topic))),
        *(numbers.tolist() for numbers in (partition, offset)),
    ]
    return columns, reader.ok & np.array([one is not None for one in how], np.bool_)


def _negatives(
    items: list[str], counts: list[int], stages: list[bytes]
) -> tuple[list[tuple[str, ...]], list[tuple[Stage, ...]]]:
    """Return the rejected items of each sample, so many of `items`, and their stages, out of serialized lists.

    Raises `ValueError` for what is none of them.
    """
    at = list(map(functools.cache(_stages_of), stages))
    if list(map(len, at)) != counts:
        raise ValueError("as many stages as hard negatives are needed")
    ids = iter(msgspec.convert(items, list[Id]))
    return [tuple(islice(ids, count)) for count in counts], at


def _stages_of(listed: bytes) -> tuple[Stage, ...]:
    return msgspec.convert([raw.decode() for raw in texts(listed)], tuple[Stage, ...])
