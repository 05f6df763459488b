"""What Prometheus reads of one online process: families made of the newest delta of each partition, at each scrape.

Counters are of this process and start at 0 with it. Gauges are of the newest delta and stand until the next one; its
records are read when somebody asks, once. What there is of a branch goes with it.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from msgspec.structs import astuple
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from contracts import deltas
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.drift import Drift
from contracts.errors import FreshetError
from contracts.layout import Layout
from contracts.pages import Answer, Pages, serving
from contracts.recall import Recall, validation_of
from trainer.settings import TrainerSettings

PORT = "http_port (FRESHET_TRAINER_HTTP_PORT, --metrics-port)"
QUANTILES = ("0.5", "0.9", "0.99", "1")
Value = tuple[str, tuple[str, ...], float]

# Gauges of the newest delta: what they say, and the label that they have beside base and partition.
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "delta_watermark_timestamp_seconds": ("Watermark of the newest delta, as Unix time.", ()),
    "interval_samples": ("Samples that the newest delta folded.", ()),
    "recall": ("Share of its clicks found before they were learned.", ("arm",)),
    "unknown_item_share": ("Share of its clicks on items that the base has no vector of.", ()),
    "new_row_share": ("Share of its touched rows whose users the base does not know.", ()),
    "row_distance": ("Distance of its touched own rows from the base's.", ("quantile",)),
    "row_angle_degrees": ("Degrees between its touched rows and the base's, on the base's common row.", ("quantile",)),
    "common_row_distance": ("Distance of the common row from the base's.", ()),
    "common_row_angle_degrees": ("Degrees between the common row and the base's.", ()),
    "popularity_divergence": ("Jensen-Shannon divergence (bits) of its clicks by item from the base's last day.", ()),
    "popularity_divergence_by_chance": ("What so many clicks drawn from the base's last day would show.", ()),
    "context_divergence": ("The same of a feature's values, from the same hours of the base's last day.", ("feature",)),
    "context_divergence_by_chance": ("What so many values drawn from those hours would show.", ("feature",)),
    "context_mean_shift": ("Deviations between a number's mean and that of those hours.", ("feature",)),
    "drift_lacking": ("1: not measured, for the base does not say what its last day was.", ("kind",)),
}


@dataclass(frozen=True)
class Measured:
    """What the files of a delta say: its drift, None without a record, and hits on clicks before they were learned."""

    drift: Drift | None
    recall: Recall


def _values(body: Delta, measured: Measured) -> Iterator[Value]:
    """Yield what is known of a delta: gauge, value of its own label, number."""
    recall = measured.recall
    yield "delta_watermark_timestamp_seconds", (), body.watermark / 1000
    yield "interval_samples", (), body.samples
    if body.samples:
        yield "unknown_item_share", (), body.trend_only / body.samples
    if recall.clicks:
        yield "recall", ("served",), recall.served / recall.clicks
        yield "recall", ("frozen",), recall.frozen / recall.clicks
    if measured.drift:
        yield from _of_rows(measured.drift)
        yield from _of_clicks(measured.drift)


def _of_rows(drift: Drift) -> Iterator[Value]:
    if touched := drift.touched_known + drift.touched_new:
        yield "new_row_share", (), drift.touched_new / touched
    for name, spread in (("row_distance", drift.distance), ("row_angle_degrees", drift.angle)):
        for quantile, value in zip(QUANTILES, astuple(spread) if spread else (), strict=False):
            yield name, (quantile,), value
    yield "common_row_distance", (), drift.common_distance
    yield "common_row_angle_degrees", (), drift.common_angle


def _of_clicks(drift: Drift) -> Iterator[Value]:
    if drift.popularity:
        yield "popularity_divergence", (), drift.popularity.divergence
        yield "popularity_divergence_by_chance", (), drift.popularity.by_chance
    for feature, shift in drift.discrete.items():
        yield "context_divergence", (feature,), shift.divergence
        yield "context_divergence_by_chance", (feature,), shift.by_chance
    for feature, deviations in drift.continuous.items():
        yield "context_mean_shift", (feature,), deviations
    for kind in drift.lacking:
        yield "drift_lacking", (kind,), 1.0


class OnlineMetrics(Collector):
    """Makes the families of one process; told of branches and deltas by one thread, while another one scrapes."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._lock = layout, threading.Lock()
        self._newest: dict[tuple[str, int], Entry[Delta]] = {}
        self._measured: dict[str, Measured] = {}
        self._samples, self._set_aside = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()

    def hold(self, bases: Iterable[str], heads: Iterable[Entry[Delta]]) -> None:
        """Show the branches of these bases and no others; `heads`, newest deltas of theirs, are not counted."""
        wanted = set(bases)
        with self._lock:
            found = {(head.body.base_id, head.body.partition): head for head in heads}
            self._newest = found | {at: head for at, head in self._newest.items() if at[0] in wanted}
            for counts in (self._samples, self._set_aside):
                for rests in [labels for labels in counts if labels[0] not in wanted]:
                    del counts[rests]

    def committed(self, newest: Entry[Delta]) -> None:
        """Take a delta that was just committed."""
        body, partition = newest.body, str(newest.body.partition)
        with self._lock:
            self._newest[body.base_id, body.partition] = newest
            for outcome in ("learned", "trend_only", "set_aside"):
                self._samples[body.base_id, partition, outcome] += getattr(body, outcome)
            for reason, count in body.reasons.items():
                self._set_aside[body.base_id, partition, reason] += count

    def collect(self) -> Iterator[Metric]:
        """Yield every family, of one moment."""
        with self._lock:
            newest, samples, set_aside = list(self._newest.values()), dict(self._samples), dict(self._set_aside)
        yield _counter("samples", "Samples folded, by what became of them.", "outcome", samples)
        yield _counter("set_aside", "Samples that a guard kept from being learned.", "reason", set_aside)
        families = {
            name: GaugeMetricFamily(_named(name), text, labels=("base", "partition", *labels))
            for name, (text, labels) in _GAUGES.items()
        }
        measured = {entry.digest: self._measured.get(entry.digest) or self._read(entry) for entry in newest}
        self._measured = measured
        for entry in newest:
            where = entry.body.base_id, str(entry.body.partition)
            for name, label, value in _values(entry.body, measured[entry.digest]):
                families[name].add_metric((*where, *label), value)
        yield from families.values()

    def _read(self, entry: Entry[Delta]) -> Measured:
        chain, found = deltas.chain(self._layout, entry.body.base_id, entry.body.partition), Recall()
        try:
            found.add(validation_of(chain, entry))
            return Measured(deltas.drift_of(chain, entry), found)
        except FreshetError as error:  # the fold goes on without it
            print(f"freshet: {error}; the metrics are without it", file=sys.stderr, flush=True)
            return Measured(None, Recall())


def _named(name: str) -> str:
    return f"freshet_trainer_{name}"


def _counter(name: str, text: str, label: str, counts: dict[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(_named(name), text, labels=("base", "partition", label))
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def page(metrics: OnlineMetrics) -> Pages:
    """Return the answer to a path: `/metrics`, with the usual `process_*` ones."""
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)

    def answer(path: str) -> Answer:
        if path == "/metrics":
            return Answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))
        return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics\n")

    return answer


@contextmanager
def answering(metrics: OnlineMetrics, settings: TrainerSettings) -> Iterator[None]:
    """Answer `/metrics` until the block ends, where the settings name a port. Raises `UsageError`."""
    if not settings.http_port:
        yield
        return
    with serving((settings.http_host, settings.http_port), page(metrics), PORT) as port:
        print(f"metrics at http://{settings.http_host}:{port}/metrics", flush=True)
        yield
