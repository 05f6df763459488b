"""Boundary 3: the shard, one immutable committed TFRecord file and the manifest whose existence commits it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from contracts import sample_decoding, samples
from contracts.chain import Chain, Entry, decoder
from contracts.errors import ChainBroken, Corrupt, FreshetError, UnknownSchema
from contracts.layout import Layout
from contracts.partitions import PARTITIONER
from contracts.sample_columns import Columns

SCHEMA = "freshet.shard/1"
SAMPLES, DEAD_LETTERS = "tfrecord", "dead.jsonl"


class Rebuild(msgspec.Struct, frozen=True):
    """Where a fold has to start so that the joiner's state at the end of this shard comes out the same.

    `offset`: first record to read; `watermark`: the joiner's before that record (-1: none yet); `detector`: state of
    the time-jump detector there (empty: none). Outputs of records below the shard's `next_offset` are suppressed.
    """

    offset: int
    watermark: int
    detector: dict[str, int] = {}


class Shard(msgspec.Struct, frozen=True):
    """Body of a shard's manifest. All ranges are [first, next).

    `read` counts records by outcome and sums to `records`; `emitted` counts samples by how they were joined and sums
    to the samples. `records` is less than the span of offsets only where the log itself has gaps (transactions).
    `windows`: the joiner's rules (ms; a count of records), absent in chains from before they were recorded.
    `lost`: an operator admitted that the records were lost to retention; a shard without samples is a manifest alone.
    """

    topic: str
    topic_id: str
    partition: int
    partitions: int
    first_offset: int
    next_offset: int
    first_ordinal: int
    next_ordinal: int
    watermark: int
    first_event_time: int
    last_event_time: int
    records: int
    read: dict[str, int]
    emitted: dict[str, int]
    rebuild: Rebuild
    kind: Literal["samples", "lost"] = "samples"
    reason: str = ""
    partitioner: str = PARTITIONER
    windows: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that is no event: where it stood, why, and the first bytes of its value (latin-1)."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    value: str


ShardChain = Chain[Shard]


def chain(layout: Layout, topic: str, partition: int) -> ShardChain:
    """Return the chain of one topic-partition under `layout`."""
    return Chain(layout.shards(topic, partition), SCHEMA, Shard)


def read_samples(shards: ShardChain, entry: Entry[Shard]) -> list[samples.Sample]:
    """Return the samples of a shard, checked: digest, CRCs, count, ordinals. Raises `Corrupt`, `ChainBroken`."""
    return samples.samples_of(read_columns(shards, entry))


def read_columns(shards: ShardChain, entry: Entry[Shard]) -> Columns:
    """Return the samples of a shard by column, checked as `read_samples` does: several times as quick."""
    if entry.body.next_ordinal == entry.body.first_ordinal:
        return Columns()
    what = f"shard {entry.number} of {shards.directory}"
    return _in_order(sample_decoding.decode(shards.data(entry, SAMPLES), what), [entry], what)


def read_together(shards: ShardChain, entries: Sequence[Entry[Shard]]) -> Columns:
    """Return the samples of consecutive shards by column, checked as each of them is.

    TFRecord files one after the other are one; where shards are small, decoding it is many times as quick.
    """
    holding = [entry for entry in entries if entry.body.next_ordinal > entry.body.first_ordinal]
    if not holding:
        return Columns()
    what = f"shards {holding[0].number} to {holding[-1].number} of {shards.directory}"
    whole = b"".join(shards.data(each, SAMPLES) for each in holding)
    try:
        return _in_order(sample_decoding.decode(whole, what), holding, what)
    except (Corrupt, UnknownSchema):
        for each in holding:
            read_columns(shards, each)  # which one it is
        raise


def _in_order(found: Columns, entries: Sequence[Entry[Shard]], what: str) -> Columns:
    if found.ordinal != list(range(entries[0].body.first_ordinal, entries[-1].body.next_ordinal)):
        raise Corrupt(what, "its ordinals")
    return found


def read_from(shards: ShardChain, ordinal: int = 0) -> Iterator[samples.Sample]:
    """Yield all committed samples of a partition with this ordinal or a later one, in order."""
    for entry in entries_from(shards, ordinal):
        yield from (sample for sample in read_samples(shards, entry) if sample.ordinal >= ordinal)


def entries_from(shards: ShardChain, ordinal: int) -> Iterator[Entry[Shard]]:
    """Yield the manifests from the one on that holds the sample of this ordinal, in order."""
    return shards.entries(shards.first_that_reached(ordinal + 1, lambda body: body.next_ordinal) - 1)


def read_dead_letters(shards: ShardChain, entry: Entry[Shard]) -> list[DeadLetter]:
    """Return the dead letters of a shard. Raises `Corrupt`, `ChainBroken`."""
    if not any(file.name.endswith(DEAD_LETTERS) for file in entry.files):
        return []
    lines = shards.data(entry, DEAD_LETTERS).splitlines()
    try:
        return [decoder(DeadLetter).decode(line) for line in lines]
    except ValueError as error:  # MsgspecError, UnicodeDecodeError
        raise Corrupt(f"shard {entry.number} of {shards.directory}", f"its dead letters ({error})") from None


def encode_dead_letters(letters: Iterable[DeadLetter]) -> bytes:
    """Return the side file of dead letters: a JSON object a line."""
    return b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters)


def verify(shards: ShardChain, proved: Callable[[Entry[Shard]], None] = lambda entry: None) -> int:
    """Prove contiguity of a chain of shards in offsets and ordinals, its counters and all digests.

    `proved` is told of each shard that is whole. Returns the number of manifests. Raises `ChainBroken` or `Corrupt`
    at the first fault.
    """
    count = shards.verify(deep=False)
    before: Shard | None = None
    for entry in shards.entries():
        body = entry.body
        _check_follows(before, body, f"shard {entry.number} of {shards.directory}")
        emitted = len(read_samples(shards, entry))
        dead = len(read_dead_letters(shards, entry))
        if sum(body.read.values()) != body.records or sum(body.emitted.values()) != emitted:
            raise ChainBroken(f"the counters of shard {entry.number} of {shards.directory} do not add up")
        if sum(n for outcome, n in body.read.items() if outcome.startswith("rejected:")) != dead:
            raise ChainBroken(f"the dead letters of shard {entry.number} of {shards.directory} do not add up")
        before = body
        proved(entry)
    return count


def _check_follows(before: Shard | None, body: Shard, what: str) -> None:
    if not 0 <= body.records <= body.next_offset - body.first_offset:
        raise ChainBroken(f"{what} counts {body.records} records in its offsets")
    if before is None:
        return
    if (body.first_offset, body.first_ordinal) != (before.next_offset, before.next_ordinal):
        raise ChainBroken(f"{what} leaves a gap or overlaps")
    if body.watermark < before.watermark:
        raise ChainBroken(f"{what} goes back in time")
    if (body.topic_id, body.partitions) != (before.topic_id, before.partitions):
        raise ChainBroken(f"{what} is of another log than the one before it")


def partitions(layout: Layout, topic: str) -> list[int]:
    """Return the partitions of a topic that have shards."""
    parent = layout.shards(topic, 0).parent
    found = (numbered_folder(path) for path in parent.iterdir()) if parent.is_dir() else ()
    return sorted(partition for partition in found if partition is not None)


def readable_heads(layout: Layout, topic: str) -> dict[int, Shard]:
    """Return the newest shard by partition, for whoever looks beside the work; what is damaged is left out."""
    found = {}
    for partition in partitions(layout, topic):
        with suppress(FreshetError):
            if head := chain(layout, topic, partition).head():
                found[partition] = head.body
    return found


def numbered_folder(path: Path) -> int | None:
    """Return the partition whose folder this is; None for whatever else lies there."""
    if not (path.name.isascii() and path.name.isdigit() and path.is_dir()):
        return None
    number = int(path.name)
    return number if path.name == f"{number:05d}" else None


def samples_digest(shards: ShardChain) -> str:
    """Return the digest over all samples of a partition, but for their source, as they are read from its files."""
    return digest_of(shards).hexdigest()


def digest_of(shards: ShardChain) -> samples.Digest:
    """Return the digest over all samples that are there, to go on with those that will be."""
    digest = samples.Digest()
    digest.add(read_from(shards))
    return digest


def combined(digests: dict[int, str]) -> str:
    """Return one digest for the digests of several partitions."""
    return hashlib.sha256(
        "\n".join(f"{number} {text}" for number, text in sorted(digests.items())).encode()
    ).hexdigest()
