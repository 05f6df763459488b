"""Which days or spans of a log are the base, and which one is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.days import bounds
from contracts.errors import MissingInput, UsageError
from contracts.layout import Layout
from tests.support.shards import Log
from tests.support.tastes import DAYS, Tastes, write_tastes
from trainer.evaluation.split import MOST_NIGHTS, Split, by_position, split
from trainer.training_days import Topic, find_day, open_topic

BLOCK_MS = 300_000


def log(folder: Path, days: int, partitions: int = 2) -> Topic:
    """A log of some days, 600 clicks each."""
    write_tastes(Layout(folder), Tastes(days=days), Log(partitions=partitions))
    return open_topic(Layout(folder), "events")


def sizes(topic: Topic, names: tuple[str, ...]) -> list[int]:
    found = [find_day(topic, name, "UTC") for name in names]
    return [sum(day.next) - sum(day.first) for day in found]


def test_spans_by_position_hold_every_sample_once_and_the_test_the_share_that_was_asked_for(tmp_path: Path) -> None:
    topic = log(tmp_path, 2)
    found = split(topic, "UTC", ("", "25%"), BLOCK_MS)
    assert sum(sizes(topic, (*found.base, found.test))) == 1200
    assert sizes(topic, (found.test,))[0] == pytest.approx(300, abs=10)
    assert all(size == pytest.approx(300, abs=10) for size in sizes(topic, found.base))
    ends = [bounds(name, "UTC") for name in (*found.base, found.test)]
    assert [end for _, end in ends[:-1]] == [start for start, _ in ends[1:]]


def test_no_block_holds_clicks_of_both_sides_of_a_cut(tmp_path: Path) -> None:
    found = split(log(tmp_path, 2), "UTC", ("", "30%"), BLOCK_MS)
    assert all(bounds(name, "UTC")[0] % BLOCK_MS == 0 for name in (*found.base, found.test))


def test_a_log_of_less_than_two_days_is_cut_by_position_and_one_of_two_by_days(tmp_path: Path) -> None:
    assert "/" in split(log(tmp_path / "one", 1), "UTC", ("", ""), BLOCK_MS).test
    found = split(log(tmp_path / "two", 2), "UTC", ("", ""), BLOCK_MS)
    assert found == Split((DAYS[0],), DAYS[1])


def test_there_are_two_nights_at_least_and_seven_at_most(tmp_path: Path) -> None:
    topic = log(tmp_path, 2)
    assert len(by_position(topic, 0.6, BLOCK_MS).base) == 2
    assert len(by_position(topic, 0.01, BLOCK_MS).base) == MOST_NIGHTS


def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    topic = log(tmp_path, 1)
    for share in ("0%", "100%", "250%"):
        with pytest.raises(UsageError, match="leaves nothing"):
            split(topic, "UTC", ("", share), BLOCK_MS)


def test_a_share_and_days_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="by position"):
        split(log(tmp_path, 2), "UTC", (DAYS[0], "30%"), BLOCK_MS)


def test_a_log_that_is_over_within_a_block_is_refused_with_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too close in time") as caught:
        by_position(log(tmp_path, 1), 0.3, 86_400_000)
    assert "--time-unit" in caught.value.hint


def test_one_day_alone_is_not_enough_for_days_that_were_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="1 complete days"):
        split(log(tmp_path, 1), "UTC", ("", DAYS[0]), BLOCK_MS)
