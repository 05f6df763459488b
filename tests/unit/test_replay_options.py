"""The command line of `freshet streams replay`: what is asked for, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import UsageError
from streams.replay_options import LogJob, TopicJob, parsed
from streams.replay_range import Wanted, parsed_offsets

FIVE_OCTOBER = 1_507_161_600_000  # 2017-10-05T00:00Z
HOUR = 3_600_000


def wanted(*arguments: str) -> Wanted:
    job = parsed(["--from-kafka", *arguments])
    assert isinstance(job, TopicJob)
    return job.wanted


def test_offsets_are_ranges_by_partition_with_open_ends() -> None:
    assert parsed_offsets("0:1000-5000,1:500-,2:-300,3, 4:7") == {
        0: (1000, 5000),
        1: (500, None),
        2: (None, 300),
        3: (None, None),
        4: (7, None),
    }


@pytest.mark.parametrize("text", ["x", "0:a-b", "0:5-5", "0:9-5", "-1:0-5", "0:1,0:2", "0:1-2-3", ":1-2", "٣:1-2-"])
def test_offsets_that_are_no_ranges_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="--offsets"):
        parsed_offsets(text)


def test_a_time_without_a_zone_is_utc_and_a_day_begins_in_its_zone() -> None:
    assert wanted("--since", "2017-10-05").since == FIVE_OCTOBER
    assert wanted("--until", "2017-10-05T00:00-03:00").until == FIVE_OCTOBER + 3 * HOUR
    day = wanted("--day", "2017-10-05", "--day-zone", "America/Sao_Paulo", "--cold")
    assert (day.since, day.until, day.cold) == (FIVE_OCTOBER + 3 * HOUR, FIVE_OCTOBER + 27 * HOUR, True)


def test_days_that_follow_each_other_are_one_range_in_whatever_order() -> None:
    days = wanted("--day", "2017-10-06", "2017-10-05")
    assert (days.since, days.until) == (FIVE_OCTOBER, FIVE_OCTOBER + 48 * HOUR)
    with pytest.raises(UsageError, match="follow each other"):
        wanted("--day", "2017-10-05", "2017-10-07")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from-kafka", "--offsets", "0:1-2", "--day", "2017-10-05"],
        ["--from-kafka", "--since", "2017-10-05", "--day", "2017-10-05"],
        ["--from-kafka", "--since", "2017-10-05", "--until", "2017-10-05"],
        ["--from-kafka", "--since", "yesterday"],
        ["--from-kafka", "--data", "log.csv"],
        ["--from-kafka", "--partitions", "3"],
        ["--offsets", "0:1-2"],
        ["--since", "2017-10-05"],
        ["--cold"],
        ["--bootstrap", "localhost:9092"],
    ],
)
def test_arguments_that_contradict_each_other_are_refused_with_what_to_do(arguments: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(arguments)
    assert refused.value.hint


def test_a_log_goes_to_eight_partitions_of_the_topic_events_unless_told_otherwise() -> None:
    usual, told = parsed([]), parsed(["--partitions", "3", "--topic", "clicks", "--root", "x", "--processes", "2"])
    assert isinstance(usual, LogJob) and isinstance(told, LogJob)
    assert (usual.topic, usual.partitions, usual.root) == ("events", 8, None)
    assert (told.topic, told.partitions, told.root, told.processes) == ("clicks", 3, Path("x"), 2)
