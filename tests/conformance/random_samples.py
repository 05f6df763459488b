"""Samples to be read by software that is not ours, and what it has to see."""

from __future__ import annotations

import random
import struct
from typing import Any, get_args

from contracts.events import Context, Rejected
from contracts.sample_columns import SCHEMA, Joined
from contracts.samples import Sample, Source


def random_samples(count: int) -> list[Sample]:
    """Samples with short and long ids of many scripts, any numbers, with and without context and negatives."""
    rng = random.Random(20171008)
    alphabet = "ab0-_/é漢😀\0 "

    def text(least: int = 0) -> str:
        return "".join(rng.choices(alphabet, k=rng.choice([least, 3, 200])))

    def number() -> int:
        return rng.choice([0, 1, -1, (1 << 62), -(1 << 62), rng.getrandbits(48)])

    def sample(ordinal: int) -> Sample:
        hour = struct.unpack("<f", struct.pack("<f", rng.gauss(0, 10) ** 9))[0]
        context = Context({"device": text()}, {"hour": hour}) if ordinal % 3 else Context()
        negatives = tuple(Rejected(text(1), rng.choice(["pre_rank", "rank"])) for _ in range(ordinal % 5))
        joined = rng.choice(get_args(Joined))
        source = Source("events", ordinal % 4, number())
        return Sample(
            text(1), text(1), number(), context, negatives, joined, text(), abs(number()), number(), ordinal, source
        )

    return [sample(ordinal) for ordinal in range(count)]


def features(sample: Sample) -> list[tuple[str, str, list[Any]]]:
    """Return the features of a sample as others have to write them: name, type and values; floats in hex."""
    numbers = {"schema": SCHEMA, "event_time": sample.event_time, "served_version": sample.served_version}
    numbers |= {"watermark": sample.watermark, "ordinal": sample.ordinal}
    numbers |= {"source_partition": sample.source.partition, "source_offset": sample.source.offset}
    texts = {"user_id": sample.user_id, "item_id": sample.item_id, "joined": sample.joined, "arm": sample.arm}
    texts |= {"source_topic": sample.source.topic}
    texts |= {f"context/discrete/{name}": text for name, text in sample.context.discrete.items()}
    lists = {"hard_negatives": [negative.item_id for negative in sample.hard_negatives]}
    lists |= {"hard_negative_stages": [negative.stage for negative in sample.hard_negatives]}
    return [
        *((name, "int64", [number]) for name, number in numbers.items()),
        *((name, "bytes", [text]) for name, text in texts.items()),
        *((name, "bytes", list(found)) for name, found in lists.items() if found),
        *((f"context/continuous/{name}", "float", [real.hex()]) for name, real in sample.context.continuous.items()),
    ]
