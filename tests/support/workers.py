"""Real stream worker processes, and what they must have arrived at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from kafka import KafkaProducer

from contracts import crash, shards
from contracts.layout import Layout
from infra.kafka.choose import Broker
from streams.log import LogRecord

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 90.0


class Addressed(Protocol):
    """What clients reach."""

    @property
    def bootstrap(self) -> str:
        """Return its `host:port`."""


class Worker:
    """A `freshet streams worker` process; leaving the block kills it."""

    def __init__(self, broker: Addressed, topic: str, layout: Layout, crash_at: str = "", **settings: str) -> None:
        variables = {f"FRESHET_STREAMS_{name.upper()}": value for name, value in settings.items()}
        self.log = layout.root / f"worker-{time.monotonic_ns()}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(REPOSITORY / "freshet.py"), "streams", "worker"]
        command += ["--bootstrap", broker.bootstrap, "--topic", topic, "--root", str(layout.root)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **variables, **({crash.VARIABLE: crash_at} if crash_at else {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL, also when it has ended by itself."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ended(self) -> int:
        """Wait for its own end; return its exit code (negative: the signal)."""
        return self.process.wait(timeout=PATIENCE_S)


def send(broker: Broker, topic: str, records: Iterable[LogRecord], compression: str | None = None) -> None:
    """Produce records, each into its partition, acknowledged."""
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=compression, acks="all", max_request_size=16 << 20
    )
    try:
        for record in records:
            producer.send(topic, partition=record.partition, key=record.key, value=record.value)
        producer.flush()
    finally:
        producer.close()


def wait_for(condition: Callable[[], bool], workers: Sequence[Worker] = (), what: str = "") -> None:
    """Poll until `condition`; fail with the workers' logs when it takes too long or one has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        ended = [worker for worker in workers if worker.process.poll() is not None]
        if ended or time.monotonic() > deadline:
            logs = "\n".join(worker.log.read_text(errors="replace")[-3000:] for worker in workers)
            raise AssertionError(f"{what or 'the condition'} did not come true; ended: {len(ended)}\n{logs}")
        time.sleep(0.05)


def watermarks(layout: Layout, topic: str, partitions: int) -> list[int]:
    """Return the watermark of every partition's newest shard, -1 where there is none."""
    heads = (shards.chain(layout, topic, partition).head() for partition in range(partitions))
    return [head.body.watermark if head else -1 for head in heads]


def digests(layout: Layout, topic: str) -> dict[int, str]:
    """Prove every chain of a topic and return the digest of its samples by partition."""
    chains = {partition: shards.chain(layout, topic, partition) for partition in shards.partitions(layout, topic)}
    for chain in chains.values():
        shards.verify(chain)
    return {partition: shards.samples_digest(chain) for partition, chain in chains.items()}
