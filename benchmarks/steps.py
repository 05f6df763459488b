"""Figure: microseconds a record on the way from Kafka to a committed shard, by step, against the least possible.

The least is fetching by aiokafka, on which Faust's consumer is built, and JSON decoding without any check. Each step
is timed over whole batches in this process: fetch and decode by themselves, encode over the samples that came out,
commit as the writer tells of it; what is left of the writer's time is the join, with collecting and counting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.rounds import Say, interleaved
from benchmarks.runs import PARTITIONS, Site, fill, new_folder, site
from benchmarks.stream_events import Load, clicks_alone, with_requests
from contracts import sample_decoding, sample_encoding, shards
from contracts.events import decode
from contracts.layout import Layout
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import KafkaRecord, Topic
from streams.scheduler import CHUNK
from streams.shard_writer import PartitionWriter

FULL, QUICK = Load(300_000, {}, 5), Load(24_000, {}, 1)
MICRO = 1e6
LEAST = "aiokafka and JSON alone"
STEPS = ("fetch", "decode", "join", "encode", "commit")
_FETCH_BYTES, _FETCH_MS = 4 << 20, 1000

Fetched = dict[int, list[KafkaRecord]]


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure both mixes on a broker of its own. Raises `MissingServer` where none can be started."""
    load = QUICK if quick else FULL
    made: list[Figure] = []
    with site(say) as where:
        for mix, log in (("(a)", clicks_alone(load)), ("(b)", with_requests(load))):
            topic = f"steps-{mix[1]}"
            fill(where, topic, log.records(PARTITIONS), log.count, say)
            profile = Profile(where, topic, asyncio.run(fetched(where, topic)))
            found = interleaved(profile.sides(), load.rounds, say)
            made.append(_figure(mix, found, profile.count))
    return made


@dataclass(frozen=True)
class Fetch:
    """What aiokafka has fetched: all records of a topic by partition, and how many µs each took."""

    records: Fetched
    micros: float


async def fetched(where: Site, topic: str) -> Fetch:
    """Fetch a whole topic as the worker's consumer does; the first answer, with all connecting, is not timed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=where.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(assigned)
        await consumer.seek_to_beginning()
        missing = sum((await consumer.end_offsets(assigned)).values())
        records: Fetched = {partition: [] for partition in range(PARTITIONS)}
        started, timed = 0.0, 0
        while missing:
            answer = await consumer.getmany(timeout_ms=_FETCH_MS)
            count = sum(map(len, answer.values()))
            for at, some in answer.items():
                records[at.partition] += some
            missing -= count
            timed += count if started else 0
            started = started or time.perf_counter()
        return Fetch(records, MICRO * (time.perf_counter() - started) / max(timed, 1))
    finally:
        await consumer.stop()


class Profile:
    """The steps over the records of one topic; each `side` returns µs a record."""

    def __init__(self, where: Site, topic: str, fetch: Fetch) -> None:
        self._where, self._topic, self._records = where, Topic(topic, "benchmark", PARTITIONS), fetch.records
        self._values = [record.value or b"" for some in self._records.values() for record in some]
        self.count = len(self._values)
        self._commits = self._encode = 0.0

    def sides(self) -> dict[str, Callable[[], float]]:
        """Return what is measured in every round, in order; commit and encode belong to the writers' run before."""
        return {
            "fetch": lambda: asyncio.run(fetched(self._where, self._topic.name)).micros,
            "JSON": self._json,
            "decode": self._decode,
            "writers": self._writers,
            "commit": lambda: self._commits,
            "encode": lambda: self._encode,
        }

    def _json(self) -> float:
        return self._micros(lambda: _all(msgspec.json.decode, self._values))

    def _decode(self) -> float:
        return self._micros(lambda: _all(decode, self._values))

    def _writers(self) -> float:
        """Fold and commit everything, partition by partition and chunk by chunk."""
        told: list[float] = []
        layout = Layout(new_folder(self._where, "steps"))
        micros = self._micros(lambda: self._fold(layout, told))
        self._commits = MICRO * sum(told) / self.count
        self._encode = self._encoding(layout)
        return micros

    def _fold(self, layout: Layout, told: list[float]) -> None:
        for partition, records in self._records.items():
            writer = PartitionWriter(layout, self._topic, partition, Windows(), Rotation())
            writer.begin(0, len(records))
            for first in range(0, len(records), CHUNK):
                writer.feed(records[first : first + CHUNK], lambda _, seconds: told.append(seconds))
            writer.close()

    def _encoding(self, layout: Layout) -> float:
        """Return how long it takes to encode again what is in the shards, µs a record read."""
        made = [
            sample_decoding.decode(chain.data(entry, shards.SAMPLES))
            for chain in (shards.chain(layout, self._topic.name, partition) for partition in range(PARTITIONS))
            for entry in chain.entries()
            if sum(entry.body.emitted.values())
        ]
        return self._micros(lambda: _all(sample_encoding.encode, made))

    def _micros(self, work: Callable[[], None]) -> float:
        started = time.perf_counter()
        work()
        return MICRO * (time.perf_counter() - started) / self.count


def by_step(found: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians of the steps, µs a record; the join is what the others leave of the writers' time."""
    of = {name: median(values) for name, values in found.items()}
    join = of["writers"] - of["decode"] - of["encode"] - of["commit"]
    return {step: join if step == "join" else of[step] for step in STEPS}


def _all(work: Callable[..., object], things: Iterable[object]) -> None:
    for thing in things:
        work(thing)


def _figure(mix: str, found: dict[str, list[float]], count: int) -> Figure:
    ours = [sum(pair) for pair in zip(found["fetch"], found["writers"], strict=True)]
    least = [sum(pair) for pair in zip(found["fetch"], found["JSON"], strict=True)]
    steps = by_step(found)
    what = Comparison(f"{mix} processor time from Kafka to committed shards", "µs/record", LEAST, less_is_better=True)
    note = (
        f"By step: {', '.join(f'{step} {micros:.2f}' for step, micros in steps.items())} µs a record, one after the "
        f"other in one process; join with collecting and counting. Peer: fetch and {median(found['JSON']):.2f} µs of "
        f"JSON decoding without a check. {count:,} records, ticks among them."
    )
    return compared(what, ours, least, this_machine(), note)
