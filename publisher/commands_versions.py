"""Commands over the versions there are: `freshet publish history|diff|retire` and `freshet status`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import msgspec

from contracts import command_line


def history(argv: Sequence[str]) -> int:
    """`freshet publish history`: a table of all versions."""
    parser = command_line.parser("publish history", "List the served versions, the newest last.")
    parser.add_argument("--last", type=command_line.positive, default=50, metavar="N", help="how many (default: 50)")
    parser.add_argument("--refused", action="store_true", help="the versions that were refused, and why")
    parser.add_argument("--json", action="store_true", help="an array of manifests, for programs")
    parsed = parser.parse_args(argv)
    layout, last, as_json, refused = command_line.layout(parsed), parsed.last, parsed.json, parsed.refused
    from publisher import report

    (report.print_refused if refused else report.print_history)(layout, last, as_json)
    return 0


def status(argv: Sequence[str]) -> int:
    """`freshet status`: what is served, how fresh, from which log positions."""
    parser = command_line.parser("status", "Show what is served, how fresh it is, and from which log positions.")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs; times in ms")
    parsed = parser.parse_args(argv)
    layout, as_json = command_line.layout(parsed), parsed.json
    from publisher import report
    from publisher.status import read_status

    found = read_status(layout)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        report.print_status(found)
    return 0


def diff(argv: Sequence[str]) -> int:
    """`freshet publish diff`: which rows differ between two versions, and how far they moved."""
    parser = command_line.parser(
        "publish diff",
        "Show what differs between two versions: rows, common rows and what is clicked.",
        "Rows are compared on the base's common row, so that what moved everybody is told apart, by partition.",
    )
    parser.add_argument("before", type=command_line.positive, metavar="A", help="a version, see `history`")
    parser.add_argument("after", type=command_line.positive, metavar="B", help="another one")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parsed = parser.parse_args(argv)
    layout, before, after, as_json = command_line.layout(parsed), parsed.before, parsed.after, parsed.json
    from publisher import report
    from publisher.difference import difference

    found = difference(layout, before, after)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        report.print_difference(found)
    return 0


def retire(argv: Sequence[str]) -> int:
    """`freshet publish retire`: delete the bases that no rollback may need."""
    parser = command_line.parser(
        "publish retire",
        "Delete bases that no version within the limits names: their folder, deltas and collection.",
        "Never the served base, never one that is not older. Afterwards a rollback to their versions is refused.",
    )
    parser.add_argument("--keep", type=command_line.positive, metavar="N", help="newest versions whose bases stay")
    parser.add_argument("--days", type=_days, metavar="DAYS", help="so do those of younger versions")
    parser.add_argument(
        "--keep-version",
        type=command_line.positive,
        action="append",
        default=[],
        metavar="VERSION",
        help="and that of this version, which an arm serves; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parsed = parser.parse_args(argv)
    layout, dry = command_line.layout(parsed), parsed.dry_run
    from publisher import report, retention
    from publisher.settings import PublisherSettings

    settings = PublisherSettings.load(keep_versions=parsed.keep, keep_days=parsed.days)
    keep = retention.Keep(
        settings.keep_versions, settings.keep_days, int(time.time() * 1000), frozenset(parsed.keep_version)
    )
    done = retention.plan(layout, keep) if dry else retention.retire(layout, settings, keep)
    report.print_plan(done, dry)
    return 0


def _days(text: str) -> float:
    days = float(text)
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return days
