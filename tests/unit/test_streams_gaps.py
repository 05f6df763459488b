"""A gap in a log is believed when the broker proves it, however many polls it takes to cross it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from contracts.errors import LogLost, MissingServer
from streams import topics
from streams.access import Access
from streams.topics import Log

AT = TopicPartition("events", 0)
LOG = Log(Access("broker:1"), "events")


class Crossing:
    """A consumer of a log of `end` offsets whose only record is at `record`; a poll crosses `stride` offsets."""

    start, end, record, stride = 0, 9_000, 5_000, 1_000

    def __init__(self, **settings: Any) -> None:
        self.at = self.polls = 0

    def assign(self, partitions: Sequence[TopicPartition]) -> None: ...

    def close(self) -> None: ...

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {AT: self.start}

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {AT: self.end}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at = offset

    def position(self, partition: TopicPartition) -> int:
        return self.at

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.polls += 1
        before, self.at = self.at, min(self.at + self.stride, self.end)
        return {AT: [SimpleNamespace(offset=self.record)]} if before <= self.record < self.at else {}


@pytest.fixture
def crossing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_up(**differently: int) -> None:
        monkeypatch.setattr(topics, "KafkaConsumer", type("Different", (Crossing,), differently))

    set_up()
    return set_up


@pytest.mark.parametrize("stride", [1, 1_000, 9_000])
def test_the_next_record_is_found_behind_a_gap_of_any_number_of_polls(
    crossing: Callable[..., None], stride: int
) -> None:
    crossing(stride=stride)
    assert LOG.next_available(0, 100) == 5_000
    assert LOG.next_available(0, 5_000) == 5_000


def test_a_log_that_ends_without_another_record_says_where(crossing: Callable[..., None]) -> None:
    assert LOG.next_available(0, 5_001) == 9_000
    assert LOG.next_available(0, 9_000) == 9_000


def test_a_reading_that_comes_no_further_is_given_up_with_the_offset_where_it_stands(
    crossing: Callable[..., None],
) -> None:
    crossing(stride=0)
    with pytest.raises(MissingServer, match=r"stood at offset 100 for 30 s") as stuck:
        LOG.next_available(0, 100)
    assert stuck.value.hint


def test_records_that_retention_deleted_are_no_gap(crossing: Callable[..., None]) -> None:
    crossing(start=200)
    with pytest.raises(LogLost, match="records 100 to 199"):
        LOG.next_available(0, 100)
