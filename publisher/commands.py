"""Commands that change what is served: `freshet publish once|run|rollback`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import command_line
from contracts.ending import Ending
from contracts.layout import Layout

if TYPE_CHECKING:
    from publisher.promotion import Order


@dataclass(frozen=True)
class PublishArguments:
    """What `publish once` and `publish run` were asked; `base_id` None: the base that is served, else the newest."""

    layout: Layout
    base_id: str | None
    why: str
    force: bool
    items: Path | None


def once(argv: Sequence[str]) -> int:
    """`freshet publish once`: publish what is new, if anything is."""
    parser = _publish_parser("publish once", "Show readers everything that is new, in one step.")
    parser.add_argument(
        "--force", action="store_true", help="also what the limits refuse (not what readers could not use); needs --why"
    )
    arguments = _from_parsed(parser.parse_args(argv))
    from publisher.fresh_items import CatalogueFile
    from publisher.promotion import publish_once
    from publisher.schedule import sentence
    from publisher.settings import PublisherSettings
    from publisher.sink_choice import follow_all

    settings = PublisherSettings.load()
    order = replace(_order(arguments), catalogue=CatalogueFile(arguments.items).now())
    _say(sentence(publish_once(arguments.layout, settings, order)))
    follow_all(arguments.layout, settings, _say)
    return 0


def run(argv: Sequence[str]) -> int:
    """`freshet publish run`: publish every interval until a signal ends it."""
    parser = _publish_parser(
        "publish run",
        "Publish what is new every interval, and at once when a newer base has caught up, until SIGTERM or Ctrl-C. "
        "Served rows that do worse than the frozen base for a set time are rolled back.",
    )
    parser.add_argument("--interval", type=command_line.positive, metavar="SECONDS", help="instead of the setting's")
    parsed = parser.parse_args(argv)
    arguments = _from_parsed(parsed)
    from publisher.fresh_items import CatalogueFile
    from publisher.schedule import Publishing, Schedule
    from publisher.settings import PublisherSettings

    settings = PublisherSettings.load()
    interval: float = parsed.interval or settings.interval_seconds
    ended = Ending()
    print(f"Publishing every {interval:g} s from {arguments.layout.root}; SIGTERM or Ctrl-C ends it.", flush=True)
    publishing = Publishing(arguments.layout, settings, _order(arguments), CatalogueFile(arguments.items))
    schedule = Schedule(publishing, interval, _say)
    while not ended.is_set():
        schedule.tick(time.monotonic())
        ended.wait(min(interval, settings.poll_seconds))
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
    from contracts.rollback import rollback as roll_back

    entry = roll_back(layout, to, command_line.who(), why)
    held = sum(hold.last - hold.first + 1 for hold in entry.body.holds)
    content = f"the content of version {entry.body.content_of} again"
    print(f"Version {entry.number} serves {content}; {held} deltas are held.")
    return 0


def _publish_parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = command_line.parser(command, description)
    parser.add_argument("--base", metavar="ID", help="base to serve (default: the one served now, else the newest)")
    parser.add_argument("--why", default="", help="a reason, which goes on record")
    parser.add_argument(
        "--items",
        type=Path,
        metavar="FILE",
        help="item events: new items are answered by their content, and each only while it is available",
    )
    return parser


def _from_parsed(parsed: argparse.Namespace) -> PublishArguments:
    force: bool = getattr(parsed, "force", False)
    return PublishArguments(command_line.layout(parsed), parsed.base, parsed.why, force, parsed.items)


def _order(arguments: PublishArguments) -> Order:
    from publisher.promotion import Order

    return Order(command_line.who(), arguments.why, arguments.base_id, force=arguments.force)


def _say(sentence: str) -> None:
    print(sentence, flush=True)
