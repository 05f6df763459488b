"""Boundary 7: the validation record: a block scored before it was learned. A file of the delta that learned it.

One sealed line a record, so each line proves itself; the file's digest is in the delta's manifest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from contracts import sealed
from contracts.errors import Corrupt, FreshetError, UnknownSchema

SCHEMA = "freshet.validation/1"


class BlockScore(msgspec.Struct, frozen=True):
    """How one arm did on one slice of a block: `hits` among the first `k`, summed `loss` (nats), over `samples`.

    `known`: samples whose item the base knows; the others count as misses. `served_version` 0: the trainer does not
    look at what the publisher serves. Arm "served" is the partition's newest delta alone: its candidates are the items
    of the base (no strangers), users without a row get the partition's common row, and the trend is that at the cut
    plus the partition's own clicks times the number of partitions.
    `delta`: the delta whose rows the arm answered with (0: the base).
    """

    base_id: str
    partition: int
    first_ordinal: int
    next_ordinal: int
    watermark: int
    served_version: int
    delta: int
    arm: Literal["served", "frozen"]
    slice: str
    k: int
    samples: int
    known: int
    hits: int
    loss: float
    schema: str = SCHEMA


def _finite(record: BlockScore) -> BlockScore:
    """JSON has no NaN: it would be written as null, and no reader could read the file again."""
    if not math.isfinite(record.loss):
        raise FreshetError(
            f"the loss of arm {record.arm} at sample {record.first_ordinal} of partition {record.partition} "
            f"on base {record.base_id} is {record.loss}",
            hint="The online update diverged: lower its steps (infra/config/trainer.toml, [online]) for the next base.",
        )
    return record


class _Version(msgspec.Struct):
    schema: str = ""


def encode(records: Iterable[BlockScore]) -> bytes:
    """Return a file of records. Raises `FreshetError` for a loss that is no number: what blew up is not committed."""
    return b"".join(sealed.seal(msgspec.json.encode(_finite(record))) for record in records)


def decode(data: bytes, what: str = "validation records") -> list[BlockScore]:
    """Return the records of a file. Raises `Corrupt` or `UnknownSchema`, naming the line."""
    records = []
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        document, _ = sealed.unseal(line, f"{what}, line {number}")
        try:
            schema = msgspec.json.decode(document, type=_Version).schema
            if schema != SCHEMA:
                raise UnknownSchema(f"{what}, line {number} has schema {schema!r}, this version reads {SCHEMA!r}")
            records.append(msgspec.json.decode(document, type=BlockScore))
        except ValueError as error:  # MsgspecError, UnicodeDecodeError
            raise Corrupt(what, f"line {number} ({error})") from None
    return records
