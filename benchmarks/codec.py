"""Benchmark: samples into a TFRecord file and back, by column, against the tfrecord package."""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import tfrecord

from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.rounds import Say, interleaved
from contracts import sample_decoding, sample_encoding
from contracts.events import Context, Rejected
from contracts.example import features_of_example
from contracts.samples import Sample, Source, columns_of

SAMPLES = 4096  # as many as fill a shard
ROUNDS, REPEATS = 7, 5
HARD_NEGATIVES = (0, 5)
ENCODE = Comparison("samples encoded", "samples/s", "tfrecord's writer", must=6.0, aim=10.0)
DECODE = Comparison("samples decoded", "samples/s", "tfrecord's reader", must=8.0, aim=10.0)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Return the figures of encoding and decoding, without hard negatives and with five a sample."""
    with tempfile.TemporaryDirectory() as folder:
        return [figure for count in HARD_NEGATIVES for figure in _measure(count, Path(folder), quick, say)]


def some_samples(count: int, rejected: int) -> list[Sample]:
    """Return samples of 100,000 users and 4,096 items with two discrete features and so many hard negatives."""
    dice = random.Random(1)  # noqa: S311 - a load, not a secret
    return [
        Sample(
            f"u{dice.randrange(100_000):07d}",
            f"i{dice.randrange(4096):06d}",
            1_507_000_000_000 + 97 * number,
            Context({"device": dice.choice(["phone", "desktop"]), "country": dice.choice(["BR", "DE", "US"])}),
            tuple(Rejected(f"i{dice.randrange(4096):06d}", dice.choice(["rank", "pre_rank"])) for _ in range(rejected)),
            dice.choice(["request", "direct"]),
            "fresh",
            12,
            1_507_000_000_120 + 97 * number,
            100_000 + number,
            Source("events", 3, 200_000 + number),
        )
        for number in range(count)
    ]


def as_the_peer_takes_it(record: bytes) -> dict[str, tuple[Any, str]]:
    """Return a sample's features as the dictionary that tfrecord's writer takes."""
    found: dict[str, tuple[Any, str]] = {}
    for name, feature in features_of_example(record).items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value), {"bytes_list": "byte", "int64_list": "int"}[kind]
    return found


def _measure(rejected: int, folder: Path, quick: bool, say: Say) -> list[Figure]:
    columns = columns_of(some_samples(SAMPLES, rejected))
    dictionaries = list(map(as_the_peer_takes_it, sample_encoding.records(columns)))
    ours, peers = folder / "ours", folder / "peers"
    rounds, repeats = (1, 1) if quick else (ROUNDS, REPEATS)
    encoding = {
        "ours": lambda: _rate(lambda: ours.write_bytes(sample_encoding.encode(columns)), repeats),
        "peer": lambda: _rate(lambda: _written_by_the_peer(peers, dictionaries), repeats),
    }
    decoding = {
        "ours": lambda: _rate(lambda: sample_decoding.decode(ours.read_bytes()), repeats),
        "peer": lambda: _rate(lambda: sum(1 for _ in tfrecord.tfrecord_loader(str(ours), None, None)), repeats),
    }
    figures = []
    for what, sides in ((ENCODE, encoding), (DECODE, decoding)):
        named = msgspec.structs.replace(what, figure=f"{what.figure}, {rejected or 'no'} hard negatives each")
        say(named.figure)
        found = interleaved(sides, rounds, say)
        figures.append(compared(named, found["ours"], found["peer"], this_machine()))
    return figures


def _written_by_the_peer(path: Path, dictionaries: list[dict[str, tuple[Any, str]]]) -> None:
    writer = tfrecord.TFRecordWriter(str(path))
    for features in dictionaries:
        writer.write(features)
    writer.close()


def _rate(work: Callable[[], object], repeats: int) -> float:
    """Return samples/s of processor time, of the best of some repeats: both sides are one busy thread."""
    gc.collect()
    best = float("inf")
    for _ in range(repeats):
        started = time.thread_time()
        work()
        best = min(best, time.thread_time() - started)
    return SAMPLES / best
