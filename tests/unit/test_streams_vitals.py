from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from contracts.shards import Rebuild, Shard
from streams.metrics import WorkerCollector, registry
from streams.vitals import Vitals


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, at: float = 100.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def shard(partition: int = 0, emitted: int = 3, event_time: int = 5_000, watermark: int = 9_000) -> Shard:
    return Shard(
        topic="t",
        topic_id="i",
        partition=partition,
        partitions=4,
        first_offset=0,
        next_offset=10,
        first_ordinal=0,
        next_ordinal=emitted,
        watermark=watermark,
        first_event_time=event_time if emitted else 0,
        last_event_time=event_time if emitted else 0,
        records=10,
        read={"clicks:direct": emitted, "rejected:not_json": 10 - emitted},
        emitted={"direct": emitted} if emitted else {},
        rebuild=Rebuild(0, -1),
    )


def scraped(vitals: Vitals, now: float = 0.0) -> dict[str, float]:
    """Every sample of the families, by name and labels as Prometheus reads them."""
    metrics = CollectorRegistry()
    metrics.register(WorkerCollector("t", vitals, Clock(now)))
    return dict(samples(metrics))


def samples(metrics: CollectorRegistry) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(generate_latest(metrics).decode()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k != "topic")
            yield f"{sample.name.removeprefix('freshet_streams_')}{{{labels}}}", sample.value


def open_worker(*partitions: int, clock: Clock | None = None) -> Vitals:
    vitals = Vitals(clock or Clock())
    vitals.assigned(partitions)
    for partition in partitions:
        vitals.opened(partition, 0, None)
    return vitals


def test_lag_is_the_log_end_minus_the_next_record_and_unknown_until_both_are() -> None:
    vitals = Vitals()
    vitals.assigned({2})
    vitals.log_end(2, 30)
    assert "lag_records{partition=2}" not in scraped(vitals)
    vitals.opened(2, 10, None)
    assert scraped(vitals)["lag_records{partition=2}"] == 20
    vitals.fed(2, 20, 30)
    assert scraped(vitals)["lag_records{partition=2}"] == 0


def test_lag_is_never_below_zero_when_the_log_end_was_asked_before_the_last_chunk() -> None:
    vitals = open_worker(0)
    vitals.log_end(0, 5)
    vitals.fed(0, 9, 9)
    assert scraped(vitals)["lag_records{partition=0}"] == 0


def test_commits_add_up_over_partitions_by_outcome_and_by_how_samples_were_joined() -> None:
    vitals = open_worker(0, 1)
    vitals.committed(0, shard(0), 0.002)
    vitals.committed(1, shard(1, emitted=4), 0.002)
    found = scraped(vitals)
    assert found["events_total{outcome=clicks:direct}"] == 7
    assert found["events_total{outcome=rejected:not_json}"] == 13
    assert found["samples_total{joined=direct}"] == 7


def test_freshness_is_the_clock_minus_the_newest_event_time_of_the_newest_shard_with_samples() -> None:
    vitals = open_worker(0)
    vitals.committed(0, shard(event_time=90_000_000), 0.1)
    vitals.committed(0, shard(event_time=7_000), 0.1)
    vitals.committed(0, shard(emitted=0, watermark=11_000), 0.1)
    found = scraped(vitals, now=10.0)
    assert found["newest_sample_timestamp_seconds{partition=0}"] == 7.0
    assert found["sample_freshness_seconds{partition=0}"] == 3.0
    assert found["watermark_timestamp_seconds{partition=0}"] == 11.0


def test_a_recovered_partition_shows_the_watermark_of_its_chain_but_counts_nothing() -> None:
    vitals = Vitals()
    vitals.assigned({0})
    assert scraped(vitals)["recovering{partition=0}"] == 1
    vitals.opened(0, 10, shard())
    found = scraped(vitals)
    assert (found["recovering{partition=0}"], found["watermark_timestamp_seconds{partition=0}"]) == (0, 9.0)
    assert not [name for name in found if name.startswith("events_total")]


def test_commit_seconds_are_a_cumulative_histogram_whose_last_bucket_holds_all() -> None:
    vitals = open_worker(0)
    for seconds in (0.0004, 0.001, 0.3, 99.0):
        vitals.committed(0, shard(), seconds)
    found = scraped(vitals)
    assert found["commit_seconds_bucket{le=0.001}"] == 2
    assert found["commit_seconds_bucket{le=0.25}"] == 2
    assert found["commit_seconds_bucket{le=10.0}"] == 3
    assert found["commit_seconds_bucket{le=+Inf}"] == found["commit_seconds_count{}"] == 4
    assert abs(found["commit_seconds_sum{}"] - 99.3014) < 1e-9


def test_a_partition_that_was_taken_away_is_no_longer_listed_and_what_is_told_of_it_is_dropped() -> None:
    vitals = open_worker(0, 1)
    vitals.assigned({1})
    vitals.fed(0, 1, 1)
    vitals.log_end(0, 50)
    vitals.open_buffer(0, 3, 900)
    vitals.committed(0, shard(), 0.1)  # its last commit still counts
    found = scraped(vitals)
    assert found["assigned_partitions{}"] == 1
    assert not [name for name in found if "partition=0" in name]
    assert found["samples_total{joined=direct}"] == 3


def test_a_partition_that_stays_keeps_what_is_known_of_it() -> None:
    vitals = open_worker(0)
    vitals.log_end(0, 7)
    vitals.assigned({0, 3})
    assert [(p.partition, p.lag, p.opened) for p in vitals.view().partitions] == [(0, 7, True), (3, -1, False)]


def test_the_open_buffer_and_lost_races_are_shown() -> None:
    vitals = open_worker(0)
    vitals.open_buffer(0, 12, 3400)
    vitals.lost_race(0)
    found = scraped(vitals)
    assert found["open_shard_samples{partition=0}"] == 12
    assert found["open_shard_bytes{partition=0}"] == 3400
    assert found["lost_races_total{}"] == 1


def test_a_worker_has_a_registry_of_its_own_with_process_metrics() -> None:
    first, second = Vitals(), Vitals()
    first.lost_race(0)
    found = [dict(samples(registry("t", vitals))) for vitals in (first, second)]
    assert [each["lost_races_total{}"] for each in found] == [1, 0]
    assert found[0]["process_resident_memory_bytes{}"] > 0
    assert "freshet" not in generate_latest(REGISTRY).decode()


def test_every_family_has_the_prefix_and_a_help_text() -> None:
    metrics = CollectorRegistry()
    metrics.register(WorkerCollector("t", open_worker(0)))
    families = list(text_string_to_metric_families(generate_latest(metrics).decode()))
    assert {f.name for f in families if not f.name.startswith("freshet_streams_") or not f.documentation} == set()
    assert len(families) == 13


def test_threads_that_tell_at_once_lose_nothing() -> None:
    vitals = open_worker(*range(4))
    body = shard()

    def tell(partition: int) -> None:
        for number in range(500):
            vitals.committed(partition, body, 0.01)
            vitals.fed(partition, 1, number + 1)
            scraped(vitals) if number % 100 == 0 else None

    threads = [threading.Thread(target=tell, args=(partition,)) for partition in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vitals.totals().emitted["direct"] == 4 * 500 * 3
    assert [p.next_offset for p in vitals.view().partitions] == [500] * 4
