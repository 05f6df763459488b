"""Boundary 2: the sample, one positive as a `tf.train.Example` in a TFRecord file. docs/formats.md has the table.

TensorFlow reads what is written here, and what TensorFlow writes is read. Shards are encoded and decoded by column
(`contracts.sample_encoding`, `contracts.sample_decoding`); here is one sample, as people and the trainer handle it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from contracts import sample_encoding
from contracts.events import Context, Rejected
from contracts.sample_columns import Columns, Joined
from contracts.sample_features import row


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
    (record,) = sample_encoding.records(columns_of([sample]))
    return record


def decode(data: bytes, what: str = "a sample") -> Sample:
    """Return the sample in a serialized Example. Raises `Corrupt` or `UnknownSchema`."""
    (sample,) = samples_of(Columns(*([entry] for entry in row(data, what))))  # type: ignore[arg-type]
    return sample


def columns_of(samples: Sequence[Sample]) -> Columns:
    """Return the samples by column."""
    columns = Columns()
    for sample in samples:
        negatives, source = sample.hard_negatives, sample.source
        entries = {name: getattr(sample, name) for name in Sample.__struct_fields__ if name != "source"}
        entries["hard_negatives"] = tuple([negative.item_id for negative in negatives])
        entries["hard_negative_stages"] = tuple([negative.stage for negative in negatives])
        entries |= {f"source_{name}": getattr(source, name) for name in Source.__struct_fields__}
        for name, entry in entries.items():
            getattr(columns, name).append(entry)
    return columns


def samples_of(columns: Columns) -> list[Sample]:
    """Return the samples that stand in the columns."""
    negatives = zip(columns.hard_negatives, columns.hard_negative_stages, strict=True)
    return list(
        map(
            Sample,
            columns.user_id,
            columns.item_id,
            columns.event_time,
            columns.context,
            [tuple(map(Rejected, items, stages)) if items else () for items, stages in negatives],
            columns.joined,
            columns.arm,
            columns.served_version,
            columns.watermark,
            columns.ordinal,
            map(Source, columns.source_topic, columns.source_partition, columns.source_offset),
        )
    )


def digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over everything but `source`, in order: equal for a live run and its replay."""
    hashed = hashlib.sha256()
    for sample in samples:
        anonymous = msgspec.structs.replace(sample, source=Source("", 0, 0))
        hashed.update(msgspec.msgpack.encode(anonymous, order="deterministic"))
    return hashed.hexdigest()
