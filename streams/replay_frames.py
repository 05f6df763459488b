"""What a replay's parent and its child processes say to each other: msgpack frames over pipes, each led by its length.

Both ends are programs of ours, of one version. The bytes are decoded against these types all the same.
"""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from streams.inspection import PartitionFacts
from streams.records import Topic
from streams.replay import Rules

_LENGTH = 4


class Span(msgspec.Struct, frozen=True):
    """The records [first, end) of a topic-partition, and what is read before them to warm the joiner: [warm, first).

    `log_start`: the first offset that the log held when the span was fixed. `end` never moves after that.
    """

    first: int
    end: int
    warm: int
    log_start: int


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To a child, first of all: which partitions it owns, and where their shards are.

    `spans` (by partition): the child itself reads them from Kafka; empty: `Batch`es follow.
    """

    root: str
    topic: Topic
    rules: Rules
    partitions: tuple[int, ...]
    spans: dict[int, Span] = {}
    bootstrap: str = ""


class Batch(msgspec.Struct, frozen=True, tag=True, gc=False):
    """To a child: `values` of one partition with offsets `first` and up, without a gap."""

    partition: int
    first: int
    values: list[bytes]


class Finish(msgspec.Struct, frozen=True, tag=True):
    """To a child that folds `Batch`es: there are no more; tell what is there now, and end."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a child, after `Begin`: the next offset that each of its partitions wants."""

    expected: dict[int, int]


class Folded(msgspec.Struct, frozen=True, tag=True, gc=False):
    """From a child: so many records more are folded, and every shard that they completed is committed.

    One for each `Batch`; a child that reads Kafka sends them as it likes, and one with `last` when its spans are done.
    """

    records: int
    last: bool = False


class Told(msgspec.Struct, frozen=True, tag=True):
    """From a child, at its end, for each of its partitions: what the shards hold now, digested."""

    facts: PartitionFacts


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From a child, before it ends: the error that it met, as a person is to read it."""

    message: str
    hint: str
    exit_code: int


ToChild = Begin | Batch | Finish
FromChild = Ready | Folded | Told | Failed

_encoder = msgspec.msgpack.Encoder()
_to_child = msgspec.msgpack.Decoder(ToChild)
_from_child = msgspec.msgpack.Decoder(FromChild)


def frame(message: ToChild | FromChild) -> bytes:
    """Return the bytes of one message."""
    encoded = bytearray(_LENGTH)
    _encoder.encode_into(message, encoded, _LENGTH)
    encoded[:_LENGTH] = (len(encoded) - _LENGTH).to_bytes(_LENGTH, "big")
    return bytes(encoded)


def read_to_child(pipe: BinaryIO) -> ToChild | None:
    """Wait for the next message; None when the parent has closed its end, or has died."""
    length = pipe.read(_LENGTH)
    if len(length) < _LENGTH:
        return None
    body = pipe.read(int.from_bytes(length, "big"))
    return _to_child.decode(body) if len(body) == int.from_bytes(length, "big") else None


def take_from_child(received: bytearray) -> list[FromChild]:
    """Take the complete messages off the front of what was received so far."""
    taken: list[FromChild] = []
    while len(received) >= _LENGTH:
        end = _LENGTH + int.from_bytes(received[:_LENGTH], "big")
        if len(received) < end:
            break
        taken.append(_from_child.decode(received[_LENGTH:end]))
        del received[:end]
    return taken
