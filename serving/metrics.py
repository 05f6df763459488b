"""What Prometheus reads of one serving process, in a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest

from contracts.served import Served
from serving.answer import Answer

disable_created_metrics()  # type: ignore[no-untyped-call]
_STEPS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """Counters of answers by how they were made, and how long they took. Safe for any number of threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector("freshet_serving", registry=self.registry)
        self._answers = Counter(
            "freshet_serving_answers",
            "Answers, by arm, by how the user was known, and by who found the items.",
            ["arm", "user", "search"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "freshet_serving_seconds", "Retrieval, a batch counting once.", buckets=_STEPS, registry=self.registry
        )
        self._by_step = Histogram(
            "freshet_serving_step_seconds",
            "Retrieval, by step, a batch counting once.",
            ["step"],
            buckets=_STEPS,
            registry=self.registry,
        )
        self.refused_versions = Counter(
            "freshet_serving_refused_versions", "Versions that could not be opened.", registry=self.registry
        )
        self._version = Gauge("freshet_serving_version", "The version that answers.", registry=self.registry)
        self._newest = Gauge(
            "freshet_serving_newest_event_timestamp_seconds",
            "Event time of the newest click that the version knows, as Unix time.",
            registry=self.registry,
        )
        self._vectors = Gauge(
            "freshet_serving_user_vectors",
            "User vectors since the process began, by where they came from.",
            ["source"],
            registry=self.registry,
        )

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count how long a retrieval takes, if it succeeds."""
        began = time.perf_counter()
        yield
        self._seconds.observe(time.perf_counter() - began)

    def count(self, answers: Sequence[Answer]) -> None:
        """Count answers of one call."""
        for answer in answers:
            found_by = answer.search.partition(",")[0]  # without why Milvus is away
            instead = " instead of milvus" if found_by != answer.search else ""
            self._answers.labels(answer.arm, answer.how, found_by + instead).inc()
        for step, took in answers[0].milliseconds.items():
            self._by_step.labels(step).observe(took / 1000)

    def show(self, version: int, shown: Served, vectors: dict[str, int]) -> None:
        """Say what answers now."""
        self._version.set(version)
        self._newest.set(shown.last_event_time / 1000)
        for source, number in vectors.items():
            self._vectors.labels(source).set(number)

    def page(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self.registry)
