"""The command line of `freshet streams replay`: arguments to frozen values."""

from __future__ import annotations

import argparse
import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from contracts import command_line
from contracts.days import bounds
from contracts.errors import UsageError
from streams.replay_range import Wanted, parsed_offsets
from streams.sources.options import SourceOptions, add_source_arguments, source_options

PARTITIONS = 8

DESCRIPTION = """\
Fold a click log, or a part of a topic, into shards, through the code of the live worker.

Effectively-once: interrupted or run again, it goes on where the shards end. Live and replay give the same samples,
but for their source. Shards are larger than the live worker's (an hour of the log, at most 4,096 samples;
settings replay_rotate_seconds and rotate_samples): nobody waits for them, each costs three fsyncs, and where they
are cut changes no sample."""

EXAMPLES = """\
examples:
  freshet streams replay --data clicks/ --format globo --day 2017-10-05
  freshet streams replay --seed 7 --root var/backfill --processes 4
  freshet streams replay --from-kafka                      all that the topic holds now
  freshet streams replay --from-kafka --day 2017-10-05 --day-zone America/Sao_Paulo
  freshet streams replay --from-kafka --since 2017-10-05T03:00 --until 2017-10-05T09:00Z
  freshet streams replay --from-kafka --offsets 0:1000-5000,1:500-

from Kafka: the end is fixed when it starts. --day, --since and --until are in the log's own clock, which ingest times
move (one that leaps ahead of the others does not), and not in Kafka's timestamps, which say when a record was
produced. A range takes the first record at or past --until
along, so that its day is complete for a retrain. Clicks of a range may need earlier requests: everything within the
joiner's horizon (two days and half an hour, as a rule) is read first, and gives no samples; with --cold it is not,
and such clicks leave as orphans. What a folder was begun with, it has to be gone on with."""


@dataclass(frozen=True)
class Job:
    """How and where to. `root` None: a folder of its own under var/replay. `days`: all, if empty."""

    root: Path | None
    processes: int
    days: tuple[str, ...]


@dataclass(frozen=True)
class LogJob(Job):
    """Replay of a log into the shards of a topic that needs no broker."""

    source: SourceOptions
    topic: str
    partitions: int


@dataclass(frozen=True)
class TopicJob(Job):
    """Replay of a part of a topic; `bootstrap`, `topic` None: as the settings say."""

    bootstrap: str | None
    topic: str | None
    wanted: Wanted


def parsed(argv: Sequence[str]) -> LogJob | TopicJob:
    """Return what the arguments ask for. Raises `UsageError` where they contradict each other."""
    arguments = _parser().parse_args(argv)
    root, processes, days = arguments.root, arguments.processes, tuple(arguments.day)
    if arguments.from_kafka:
        _refuse(arguments, ("data", "format", "columns", "partitions"), "--from-kafka reads a topic")
        return TopicJob(root, processes, days, arguments.bootstrap, arguments.topic, _wanted(arguments, days))
    _refuse(
        arguments, ("bootstrap", "offsets", "since", "until", "cold", "day_zone"), "without --from-kafka a log is read"
    )
    topic, partitions = arguments.topic or "events", arguments.partitions or PARTITIONS
    return LogJob(root, processes, days, source_options(arguments), topic, partitions)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("streams replay", DESCRIPTION, EXAMPLES, root=None, shown="var/replay/LOG-DAY")
    add_source_arguments(parser)
    what = parser.add_argument_group("what and where")
    what.add_argument("--day", nargs="+", action="extend", default=[], metavar="YYYY-MM-DD", help="only these days")
    what.add_argument("--topic", help="name of the topic in the run folder (default: events; of Kafka: the setting)")
    what.add_argument("--partitions", type=command_line.positive, help=f"of a log (default: {PARTITIONS})")
    cores = len(os.sched_getaffinity(0))
    what.add_argument(
        "--processes",
        type=command_line.positive,
        default=cores,
        metavar="N",
        help=f"that fold, each its share of the partitions (default: one a core, here {cores})",
    )
    _add_kafka_arguments(parser.add_argument_group("a topic in place of a log"))
    return parser


def _add_kafka_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--from-kafka", action="store_true", help="read a topic")
    group.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap` of streams)")
    group.add_argument(
        "--offsets", metavar="P:FIRST-NEXT,...", help="only these partitions and offsets; NEXT is not read"
    )
    group.add_argument(
        "--since", metavar="ISO", help="only from this time of the log's clock on (UTC, if it names no zone)"
    )
    group.add_argument("--until", metavar="ISO", help="only up to this time of the log's clock")
    group.add_argument("--day-zone", metavar="ZONE", help="where the days of --day begin (default: UTC)")
    group.add_argument("--cold", action="store_true", help="begin with an empty joiner: read nothing before the range")


def _wanted(arguments: argparse.Namespace, days: tuple[str, ...]) -> Wanted:
    times = arguments.since is not None or arguments.until is not None
    if (arguments.offsets is not None) + times + bool(days) > 1:
        raise UsageError("--offsets, --day and --since/--until are three ways to name a range", hint="Choose one.")
    since, until = _time(arguments.since, "--since"), _time(arguments.until, "--until")
    if days:
        since, until = _span_of(days, arguments.day_zone or "UTC")
    if since is not None and until is not None and since >= until:
        raise UsageError("--until is not later than --since", hint="A range ends after it begins.")
    return Wanted(parsed_offsets(arguments.offsets or ""), since, until, arguments.cold)


def _span_of(days: tuple[str, ...], zone: str) -> tuple[int, int]:
    spans = sorted({bounds(day, zone) for day in days})
    if any(before[1] != after[0] for before, after in pairwise(spans)):
        raise UsageError("the days after --day do not follow each other", hint="Replay each stretch of days by itself.")
    return spans[0][0], spans[-1][1]


def _time(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no time", hint="Write it like 2017-10-05T03:00:00Z.") from None
    return int((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def _refuse(arguments: argparse.Namespace, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(arguments, name):
            raise UsageError(f"{why}: --{name.replace('_', '-')} does not go with it", hint="Leave one of them away.")
