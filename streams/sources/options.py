"""Which log to read, on the command line: the same options for `produce`, `streams replay` and `demo`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from contracts.command_line import positive
from contracts.errors import UsageError
from streams.sources.columns import TIME_UNITS
from streams.sources.synthetic import SyntheticSettings

Format = Literal["globo", "mind", "ebnerd", "csv", "jsonl", "parquet", "synthetic"]


_LONGEST_DISORDER = 86_400


@dataclass(frozen=True)
class SourceOptions:
    """A log and how to read it. `data` None and `format` None: the synthetic log; `format` None: told from the file."""

    data: Path | None = None
    format: Format | None = None
    columns: str = ""
    context_columns: str = ""
    number_columns: str = ""
    time_unit: str = "ms"
    disorder_ms: int = 0
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `source_options` reads."""
    log = parser.add_argument_group("the log")
    log.add_argument(
        "--data", type=Path, metavar="PATH", help="file or folder, text also gzipped (default: a synthetic log)"
    )
    log.add_argument(
        "--format", choices=get_args(Format), help="what it is (default: told from its name and beginning)"
    )
    log.add_argument(
        "--columns",
        default="",
        metavar="ROLE=NAME,...",
        help="columns or keys of csv, jsonl and parquet: user, item, time; also ingest, request, event_id",
    )
    log.add_argument(
        "--context-columns", default="", metavar="[F=]NAME,...", help="columns of discrete context features"
    )
    log.add_argument(
        "--number-columns", default="", metavar="[F=]NAME,...", help="columns of continuous context features"
    )
    log.add_argument(
        "--time-unit",
        choices=TIME_UNITS,
        default="ms",
        help="what times count (default: ms; iso is text; timestamps of parquet say it)",
    )
    log.add_argument(
        "--disorder-seconds", type=float, default=0.0, metavar="S", help="how far ingest time may go back (default: 0)"
    )
    _add_synthetic_arguments(parser.add_argument_group("the synthetic log"))


def source_options(arguments: argparse.Namespace) -> SourceOptions:
    """Return the options of `add_source_arguments` as one frozen value. Raises `UsageError`."""
    if not 0 <= arguments.disorder_seconds < _LONGEST_DISORDER:
        raise UsageError("--disorder-seconds is not between 0 and a day", hint="Sort the log if it is out of order.")
    return SourceOptions(
        data=arguments.data,
        format=arguments.format,
        columns=arguments.columns,
        context_columns=arguments.context_columns,
        number_columns=arguments.number_columns,
        time_unit=arguments.time_unit,
        disorder_ms=round(arguments.disorder_seconds * 1000),
        synthetic=SyntheticSettings(
            seed=arguments.seed,
            days=arguments.days,
            users=arguments.users,
            items=arguments.items,
            clicks_per_day=arguments.clicks_per_day,
            mix=arguments.mix,
            first_day=arguments.first_day,
        ),
    )


def _add_synthetic_arguments(made: argparse._ArgumentGroup) -> None:
    default = SyntheticSettings()
    made.add_argument(
        "--seed", type=int, default=default.seed, help=f"another seed, another log (default: {default.seed})"
    )
    made.add_argument(
        "--mix", type=float, default=default.mix, help=f"0 tastes only … 1 trends only (default: {default.mix})"
    )
    made.add_argument("--days", type=positive, default=default.days, help=f"days (default: {default.days})")
    made.add_argument("--users", type=positive, default=default.users, help=f"users (default: {default.users})")
    made.add_argument("--items", type=positive, default=default.items, help=f"items (default: {default.items})")
    made.add_argument(
        "--clicks-per-day",
        type=positive,
        default=default.clicks_per_day,
        metavar="N",
        help=f"about so many (default: {default.clicks_per_day})",
    )
    made.add_argument(
        "--first-day", default=default.first_day, metavar="DAY", help=f"its first day (default: {default.first_day})"
    )
