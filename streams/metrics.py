"""What Prometheus reads of one worker: families made from its `Vitals` at each scrape, in a registry of their own.

Counters are of this process and start at 0 with it. A partition that was taken away is simply no longer listed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.vitals import COMMIT_BUCKETS_S, Clock, PartitionView, Totals, View, Vitals

_PER_PARTITION: tuple[tuple[str, str, Callable[[PartitionView, float], float | None]], ...] = (
    ("lag_records", "Records between the next one to read and the end of the log.", lambda p, _: _known(p.lag)),
    ("next_offset", "Offset of the next record to read.", lambda p, _: _known(p.next_offset)),
    (
        "watermark_timestamp_seconds",
        "Highest ingest time committed, as Unix time.",
        lambda p, _: _seconds(p.watermark),
    ),
    (
        "newest_sample_timestamp_seconds",
        "Newest event time among the samples of the newest shard that has any, as Unix time.",
        lambda p, _: _seconds(p.newest_event_time),
    ),
    (
        "sample_freshness_seconds",
        "How far that event time is behind this machine's clock; below 0: the producer's clock is ahead.",
        lambda p, now: None if (newest := _seconds(p.newest_event_time)) is None else now - newest,
    ),
    ("open_shard_samples", "Samples held in memory that are not committed yet.", lambda p, _: p.open_samples),
    ("open_shard_bytes", "Bytes of those samples.", lambda p, _: p.open_bytes),
    ("recovering", "1 while the partition is being recovered, else 0.", lambda p, _: float(not p.opened)),
)


class WorkerCollector(Collector):
    """Makes the families of one worker. `clock` is the wall clock (Unix seconds), for freshness alone."""

    def __init__(self, topic: str, vitals: Vitals, clock: Clock = time.time) -> None:
        self._topic, self._vitals, self._clock = topic, vitals, clock

    def collect(self) -> Iterator[Metric]:
        """Yield every family, of one moment."""
        view, totals = self._vitals.view(), self._vitals.totals()
        yield _gauge("assigned_partitions", "Partitions that Kafka deals to this worker.", len(view.partitions))
        yield _counted("events", "Records committed, by outcome.", "outcome", totals.read.items())
        yield _counted("samples", "Samples committed, by how they were joined.", "joined", totals.emitted.items())
        yield _counter("lost_races", "Commits that another owner was quicker to make.", totals.lost_races)
        yield _commits(totals)
        yield from self._per_partition(view)

    def _per_partition(self, view: View) -> Iterator[Metric]:
        now = self._clock()
        for name, text, value in _PER_PARTITION:
            family = GaugeMetricFamily(_named(name), text, labels=("topic", "partition"))
            for partition in view.partitions:
                number = value(partition, now)
                if number is not None:
                    family.add_metric((self._topic, str(partition.partition)), number)
            yield family


def registry(topic: str, vitals: Vitals) -> CollectorRegistry:
    """Return a registry of one worker: its families, and the usual `process_*` ones."""
    made = CollectorRegistry()
    made.register(WorkerCollector(topic, vitals))
    ProcessCollector(registry=made)
    return made


def _named(name: str) -> str:
    return f"freshet_streams_{name}"


def _known(number: int) -> float | None:
    return number if number >= 0 else None


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds >= 0 else None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_named(name), text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_named(name), text, value=value)


def _counted(name: str, text: str, label: str, counts: Iterable[tuple[str, int]]) -> Metric:
    family = CounterMetricFamily(_named(name), text, labels=(label,))
    for key, count in sorted(counts):
        family.add_metric((key,), count)
    return family


def _commits(totals: Totals) -> Metric:
    bounds = (*COMMIT_BUCKETS_S, math.inf)
    counts = itertools.accumulate(totals.commits[bound] for bound in bounds)
    buckets = [
        ("+Inf" if bound == float("inf") else str(bound), count) for bound, count in zip(bounds, counts, strict=True)
    ]
    text = "Seconds from encoding a shard to its created manifest."
    return HistogramMetricFamily(_named("commit_seconds"), text, buckets=buckets, sum_value=totals.commit_seconds)
