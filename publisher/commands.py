"""Commands of the publisher: `freshet publish once|run|rollback|history` and `freshet status`."""

from __future__ import annotations

import argparse
import getpass
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from contracts import command_line, served
from contracts.ending import Ending
from contracts.errors import MissingInput, MissingServer, PublishRefused
from contracts.layout import Layout


@dataclass(frozen=True)
class PublishArguments:
    """What `publish once` and `publish run` were asked; `base_id` None: the base that is served, else the newest."""

    layout: Layout
    base_id: str | None
    why: str


def once(argv: Sequence[str]) -> int:
    """`freshet publish once`: publish what is new, if anything is."""
    arguments = _publish_arguments("publish once", "Show readers everything that is new, in one step.", argv)
    _publish(arguments)
    return 0


def run(argv: Sequence[str]) -> int:
    """`freshet publish run`: publish every interval until a signal ends it."""
    parser = _publish_parser("publish run", "Publish what is new every interval, until SIGTERM or Ctrl-C.")
    parser.add_argument("--interval", type=command_line.positive, metavar="SECONDS", help="instead of the setting's")
    parsed = parser.parse_args(argv)
    arguments = _from_parsed(parsed)
    from publisher.settings import PublisherSettings

    interval: float = parsed.interval or PublisherSettings.load().interval_seconds
    ended = Ending()
    print(f"Publishing every {interval:g} s from {arguments.layout.root}; SIGTERM or Ctrl-C ends it.", flush=True)
    while not ended.is_set():
        due = time.monotonic() + interval
        try:
            _publish(arguments)
        except (PublishRefused, MissingInput, MissingServer) as error:
            print(f"{error}\n{error.hint}\nTrying again in {interval:g} s.", flush=True)
        ended.wait(max(0.0, due - time.monotonic()))
    print("Ended.", flush=True)
    return 0


def rollback(argv: Sequence[str]) -> int:
    """`freshet publish rollback`: serve an older version again."""
    parser = command_line.parser(
        "publish rollback",
        "Serve the content of an older version again, as a new version. The deltas published since are held: later "
        "publishes go on without them.",
    )
    parser.add_argument("--to", type=command_line.positive, required=True, metavar="VERSION", help="see `history`")
    parser.add_argument("--why", required=True, help="the reason, which goes on record")
    parsed = parser.parse_args(argv)
    layout, to, why = command_line.layout(parsed), parsed.to, parsed.why
    from publisher.rollback import rollback as roll_back

    entry = roll_back(layout, to, who(), why)
    held = sum(hold.last - hold.first + 1 for hold in entry.body.holds)
    content = f"the content of version {entry.body.content_of} again"
    print(f"Version {entry.number} serves {content}; {held} deltas are held.")
    return 0


def history(argv: Sequence[str]) -> int:
    """`freshet publish history`: a table of all versions."""
    parser = command_line.parser("publish history", "List the served versions, the newest last.")
    parser.add_argument("--last", type=command_line.positive, default=50, metavar="N", help="how many (default: 50)")
    parser.add_argument("--json", action="store_true", help="an array of manifests, for programs")
    parsed = parser.parse_args(argv)
    layout, last, as_json = command_line.layout(parsed), parsed.last, parsed.json
    from publisher import report

    report.print_history(layout, last, as_json)
    return 0


def status(argv: Sequence[str]) -> int:
    """`freshet status`: what is served, how fresh, from which log positions."""
    parser = command_line.parser("status", "Show what is served, how fresh it is, and from which log positions.")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs; times in ms")
    parsed = parser.parse_args(argv)
    layout, as_json = command_line.layout(parsed), parsed.json
    import msgspec

    from publisher import report
    from publisher.status import read_status

    found = read_status(layout)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        report.print_status(found)
    return 0


def who() -> str:
    """Return the name of the person or account that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return "unknown"


def _publish_parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = command_line.parser(command, description)
    parser.add_argument("--base", metavar="ID", help="base to serve (default: the one served now, else the newest)")
    parser.add_argument("--why", default="", help="a reason, which goes on record")
    return parser


def _publish_arguments(command: str, description: str, argv: Sequence[str]) -> PublishArguments:
    return _from_parsed(_publish_parser(command, description).parse_args(argv))


def _from_parsed(parsed: argparse.Namespace) -> PublishArguments:
    return PublishArguments(command_line.layout(parsed), parsed.base, parsed.why)


def _publish(arguments: PublishArguments) -> None:
    from publisher.promotion import Order, publish_once
    from publisher.settings import PublisherSettings

    settings = PublisherSettings.load()
    entry = publish_once(arguments.layout, settings, Order(who(), arguments.why, arguments.base_id))
    if entry is None:
        print("Nothing new to publish.", flush=True)
        return
    positions = entry.body.positions
    shown = sum(len(served.included(entry.body, position.partition)) for position in positions)
    deltas = f"{shown} deltas over {len(positions)} partitions"
    print(f"Version {entry.number} is served: base {entry.body.base_id}, {deltas}.", flush=True)
