"""What a worker answers over HTTP: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from contracts.pages import Answer
from streams.vitals import PartitionView, View

RECOVERY_LIMIT_S = 600.0  # opening a partition reads its state from this machine's disk: minutes at the very most
JSON = "application/json"


class PartitionHealth(msgspec.Struct):
    """One partition in the answer of `/healthz`: records, ages in seconds, watermark in ms; null: not known yet."""

    partition: int
    state: str
    lag: int | None
    next_offset: int | None
    seconds_since_records: float
    watermark: int | None


class Health(msgspec.Struct):
    """The answer of `/healthz`; `reason` is empty while it is healthy."""

    healthy: bool
    reason: str
    stopping: bool
    partitions: list[PartitionHealth]


class Pages:
    """The three pages. `look` returns the worker's view and the watchdog's sentence, empty while it has none."""

    def __init__(self, metrics: CollectorRegistry, look: Callable[[], tuple[View, str]]) -> None:
        self._metrics, self._look = metrics, look

    def answer(self, path: str) -> Answer:
        """Return the page of a path."""
        if path == "/metrics":
            return Answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._metrics))
        if path == "/healthz":
            health = self._health()
            return _page(health.healthy, health)
        if path == "/readyz":
            reason = _not_ready(self._look()[0])
            return _page(not reason, {"ready": not reason, "reason": reason})
        return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics /healthz /readyz\n")

    def _health(self) -> Health:
        view, reason = self._look()
        reason = reason or _slow_recovery(view)
        return Health(not reason, reason, view.stopping, [_partition(p, view.now) for p in view.partitions])


def _page(fine: bool, value: object) -> Answer:
    status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, JSON, msgspec.json.encode(value) + b"\n")


def _not_ready(view: View) -> str:
    if view.stopping:
        return "the worker is stopping"
    if not view.joined:
        return "the consumer group has not dealt partitions yet"
    opening = [str(p.partition) for p in view.partitions if not p.opened]
    return f"recovering partitions {', '.join(opening)}" if opening else ""


def _slow_recovery(view: View) -> str:
    for partition in view.partitions:
        age = view.now - partition.assigned_at
        if not partition.opened and age >= RECOVERY_LIMIT_S:
            return f"partition {partition.partition}: its recovery has not ended for {age:.0f} s"
    return ""


def _partition(partition: PartitionView, now: float) -> PartitionHealth:
    def known(number: int) -> int | None:
        return number if number >= 0 else None

    return PartitionHealth(
        partition=partition.partition,
        state="open" if partition.opened else "recovering",
        lag=known(partition.lag),
        next_offset=known(partition.next_offset),
        seconds_since_records=round(now - partition.moved_at, 1),
        watermark=known(partition.watermark),
    )
