"""Boundary 2: the sample, one positive as a `tf.train.Example` in a TFRecord file. docs/formats.md has the table.

TensorFlow reads what is written here, and what TensorFlow writes is read. Shards are encoded and decoded by column
(`contracts.sample_encoding`, `contracts.sample_decoding`); here is one sample, as people and the trainer handle it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from contracts import sample_encoding
from contracts.events import Context, Rejected
from contracts.sample_columns import Columns, Joined
from contracts.sample_features import row

_HASHED_AT_ONCE = 1024
_packer = msgspec.msgpack.Encoder(order="deterministic")


class Source(msgspec.Struct, frozen=True):
    """The record that a sample comes from: where the click stood in the log."""

    topic: str
    partition: int
    offset: int


_NOWHERE = Source("", 0, 0)


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


class Digest:
    """SHA-256 over everything but `source` of all samples so far, in order: equal for a live run and its replay."""

    def __init__(self) -> None:
        self._hashed = hashlib.sha256()

    def add(self, samples: Iterable[Sample]) -> None:
        """Take the samples that come next."""
        rest = iter(samples)
        while some := [msgspec.structs.replace(sample, source=_NOWHERE) for sample in islice(rest, _HASHED_AT_ONCE)]:
            head = 1 if len(some) < 1 << 4 else 3  # bytes of msgpack before the elements of such a list
            self._hashed.update(memoryview(_packer.encode(some))[head:])

    def hexdigest(self) -> str:
        """Return it in lower-case hex."""
        return self._hashed.hexdigest()


def digest(samples: Iterable[Sample]) -> str:
    """Return the digest over these samples, and no others."""
    whole = Digest()
    whole.add(samples)
    return whole.hexdigest()
