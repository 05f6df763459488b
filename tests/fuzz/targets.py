"""What is fuzzed: a function of bytes that fails where a reader does anything but read or refuse by name, and seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contracts import events, sample_decoding, sample_encoding, samples, sealed, served, shards
from contracts.errors import ChainBroken, Corrupt, EventRejected, UnknownSchema
from contracts.framing import frame, unframe
from contracts.layout import Layout
from tests.golden import specimens

NOWHERE = Layout(Path("nowhere"))


@dataclass(frozen=True)
class Target:
    """`check` raises for a fault; `seeds` are inputs to start from."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def one_sample(data: bytes) -> None:
    """Any bytes as a record: both ways of reading agree, and what was read is written and read again."""
    slow = _outcome(lambda: [samples.decode(data)])
    fast = _outcome(lambda: samples.samples_of(sample_decoding.decode(frame([data]))))
    _same(slow, fast)
    if isinstance(slow, list):
        again = samples.decode(samples.encode(slow[0]))
        _same(repr(again), repr(slow[0]))


def tfrecord_file(data: bytes) -> None:
    """Any bytes as a file: refused, or records that frame to the very same bytes."""
    records = _outcome(lambda: unframe(data))
    if isinstance(records, list):
        _same(frame(records), data)
        _outcome(lambda: samples.samples_of(sample_decoding.decode(data)))


def event(data: bytes) -> None:
    """Any bytes as a Kafka value: rejected for a reason, or an event that is written and read again."""
    try:
        read = events.decode(data)
    except EventRejected as rejection:
        if rejection.reason not in events.REASONS:
            raise ValueError(f"an unknown reason, {rejection.reason}") from rejection
        return
    _same(events.encode(events.decode(events.encode(read))), events.encode(read))


def manifest(data: bytes) -> None:
    """Any bytes as the document of a manifest, with a right seal and as they are."""
    for chain in (shards.chain(NOWHERE, "events", 0), served.chain(NOWHERE)):
        for file in (data, sealed.seal(data)):
            try:
                chain.parse(file)
            except (Corrupt, UnknownSchema, ChainBroken):
                continue


def _outcome(read: Callable[[], list[samples.Sample] | list[bytes]]) -> object:
    try:
        found = read()
    except (Corrupt, UnknownSchema) as error:
        return type(error).__name__
    return found


def _same(left: object, right: object) -> None:
    if repr(left) != repr(right):
        raise ValueError(f"{left!r} is not {right!r}")


def _manifests() -> tuple[bytes, ...]:
    chain = shards.chain(NOWHERE, specimens.TOPIC, 0)
    made = (chain.prepare(None, body, {}).data for body in specimens.SHARDS)
    return tuple(sealed.unseal(data, "a manifest")[0] for data in made)


_COLUMNS = samples.columns_of(specimens.SAMPLES)
_RECORDS = sample_encoding.records(_COLUMNS)
TARGETS = {
    "samples": Target(one_sample, (*_RECORDS, b"")),
    "tfrecord": Target(tfrecord_file, (frame(_RECORDS), frame([b"", b"one"]), b"")),
    "events": Target(event, tuple(map(events.encode, specimens.EVENTS.values()))),
    "manifest": Target(manifest, _manifests()),
}
