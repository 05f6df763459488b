"""How the log reaches the shards: through Kafka and a stream worker, or folded directly by the same pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from contracts import shards
from contracts.errors import MissingServer
from contracts.layout import Layout
from examples.children import Child, Say
from infra.kafka.choose import docker_answers, java_and_maven_there, start_keeping
from streams.access import Access
from streams.join import Windows
from streams.log import LogRecord
from streams.pipeline import Rotation
from streams.produce import Producer, ensure_topic, held, missing_from
from streams.records import Topic
from streams.replay import Replay, Rules, log_topic
from streams.sources.source import Source

PARTITIONS = 4
SHARD_SECONDS = 900


class Transport(Protocol):
    """Takes the log in order, and goes on where an earlier run stopped."""

    topic: Topic

    def missing(self, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        """Return those of all the log's records that still have to be sent."""

    def send(self, records: Iterable[LogRecord]) -> None:
        """Take records; they are in committed shards once the chains' watermarks have come to their time."""

    def check(self) -> None:
        """Look after what runs in the background."""


class Direct:
    """No Kafka: the records go straight into the pipeline. Offsets say what the shards have already."""

    def __init__(self, layout: Layout, source: Source) -> None:
        self.topic = log_topic(source, source.name, PARTITIONS, SHARD_SECONDS * 1000)
        self._replay = Replay(layout, self.topic, Rules(Windows(), Rotation(bucket_ms=SHARD_SECONDS * 1000)))

    def missing(self, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        """Return all: what is there is dropped by its offset."""
        return records

    def send(self, records: Iterable[LogRecord]) -> None:
        """Fold them."""
        self._replay.fold(records)

    def check(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Release the state DBs."""
        self._replay.close()


class ThroughKafka:
    """A real topic: a producer here, a stream worker in a process of its own."""

    def __init__(self, bootstrap: str, layout: Layout, source: Source, say: Say) -> None:
        name = f"freshet-demo-{source.name}"
        access = Access.plain(bootstrap)
        self.topic = ensure_topic(access, name, PARTITIONS)
        self._held = held(access, self.topic)
        self._producer = Producer(access, name)
        words = ["streams", "worker", "--bootstrap", bootstrap, "--topic", name, "--root", str(layout.root)]
        self._worker = Child(
            "stream worker",
            words,
            layout.root / "logs" / "stream-worker.log",
            say,
            FRESHET_STREAMS_ROTATE_SECONDS=str(SHARD_SECONDS),
            FRESHET_STREAMS_GROUP=f"freshet-demo-{self.topic.topic_id}",
        )

    def missing(self, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        """Return those that the topic does not hold. Raises `UsageError` when it holds another log."""
        return missing_from(self._held, records)

    def send(self, records: Iterable[LogRecord]) -> None:
        """Produce them."""
        self._producer.send(records)
        self._producer.flush()

    def check(self) -> None:
        """Start a dead worker again."""
        self._worker.check()

    def close(self) -> None:
        """Stop the worker; the topic stays."""
        self._worker.stop()
        self._producer.close()


@dataclass(frozen=True)
class Choice:
    """The transport that was taken: `kind` names the run folder, `why` is the sentence that says so."""

    kind: str
    why: str


def choose(wanted: str) -> Choice:
    """Choose the first transport that works: a named broker, a container, a local broker, none."""
    address = os.environ.get("KAFKA_BOOTSTRAP", "")
    if wanted == "direct":
        return Choice("direct", "No Kafka, as asked: the log is folded directly, through the same pipeline.")
    if address:
        return Choice("kafka", f"Kafka at {address}, because KAFKA_BOOTSTRAP is set.")
    if docker_answers():
        return Choice("container", "Kafka in a container, because a Docker engine answers.")
    if java_and_maven_there():
        return Choice("local", "A local Kafka broker, because no Docker engine answers, and Java and Maven are there.")
    reason = "neither a Docker engine answers nor are Java and Maven there"
    if wanted == "kafka":
        raise MissingServer(f"no Kafka can be had: {reason}", hint="Set KAFKA_BOOTSTRAP, or install one of them.")
    return Choice("direct", f"No Kafka, because {reason}: the log is folded directly, through the same pipeline.")


@contextmanager
def opened(choice: Choice, layout: Layout, source: Source, say: Say) -> Iterator[Transport]:
    """Start what the choice needs, and stop it at the end; topics and shards stay for the next run."""
    with ExitStack() as stack:
        if choice.kind == "direct":
            direct = Direct(layout, source)
            stack.callback(direct.close)
            yield direct
            return
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP", "")
        if choice.kind != "kafka":
            broker = start_keeping("local" if choice.kind == "local" else "container", layout.root / "kafka", say)
            stack.callback(broker.close)
            bootstrap = broker.bootstrap
        through = ThroughKafka(bootstrap, layout, source, say)
        stack.callback(through.close)
        yield through


def watermark(layout: Layout, topic: Topic) -> int:
    """Return the watermark that all partitions' shards have reached, -1 before all have one."""
    heads = (shards.chain(layout, topic.name, partition).head() for partition in range(topic.partitions))
    return min(head.body.watermark if head else -1 for head in heads)
