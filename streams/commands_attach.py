"""`freshet streams attach` and `check-source`: topics that people have already, in their own formats."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Sequence
from types import FrameType

import msgspec

from contracts import command_line
from contracts.errors import UsageError
from streams.attach.check import check
from streams.attach.clients import Target
from streams.attach.intake import Intake
from streams.attach.look import FROM, Look
from streams.attach.rekey import Rekeyer
from streams.attach.report import print_report
from streams.attach.settings import AnySource
from streams.logs import set_up
from streams.produce import ensure_topic
from streams.settings import StreamsSettings
from streams.topics import Log

logger = logging.getLogger("freshet.streams")


def attach(argv: Sequence[str]) -> int:
    """`freshet streams attach`."""
    parser = command_line.bare_parser(
        "streams attach",
        "Feed `events` from the topics that the [[source]] tables of streams.toml name: each record is mapped, keyed\n"
        "by user, and sent once, by Kafka transactions; ticks go along. Runs until SIGTERM or Ctrl-C.\n\n"
        "Start as many as you like, each with a --name of its own: Kafka deals the source partitions out. One that\n"
        "is killed loses and doubles nothing. Look first: `freshet streams check-source`.",
        "settings: infra/config/streams.toml; the keys of [[source]]: docs/formats.md",
    )
    parser.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap`)")
    parser.add_argument("--topic", help="topic of the events, made if absent (default: setting `topic`)")
    parser.add_argument("--name", default=socket.gethostname(), help="this process's name, kept when it starts again")
    arguments = parser.parse_args(argv)
    settings = StreamsSettings.load(bootstrap=arguments.bootstrap, topic=arguments.topic)
    set_up(settings.log_format, settings.log_level, {"worker": arguments.name, "group": settings.attach_group})
    intake = Intake(settings.source)
    rekeyer = Rekeyer(settings.access, intake, _target(settings, arguments.name))
    try:
        logger.info("%s to %s, as %s", ", ".join(intake.topics), settings.topic, arguments.name)
        rekeyer.run(_stop_at_signals())
    finally:
        rekeyer.close()
        logger.info("ended", extra={"facts": dict(rekeyer.counts)})
    return 0


def check_source(argv: Sequence[str]) -> int:
    """`freshet streams check-source`."""
    parser = command_line.bare_parser(
        "streams check-source",
        "Show what comes of the records of your own topics, before anything starts: ten of them as events, what does\n"
        "not map and why, what is missing and what that costs, and the lines of streams.toml to change.\n"
        "Reads, and changes nothing.",
        "exit code: 0 all that was looked at maps, 2 something has to be changed",
    )
    parser.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap`)")
    parser.add_argument("--topic", help="only the tables of this topic (default: all)")
    parser.add_argument("--from", dest="start", choices=FROM, default=FROM[0], help="which records (default: newest)")
    parser.add_argument("--records", type=command_line.positive, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument("--json", action="store_true", help="one JSON object a table")
    arguments = parser.parse_args(argv)
    settings = StreamsSettings.load(bootstrap=arguments.bootstrap)
    sources = _of_topic(settings.source, arguments.topic)
    Intake(settings.source)  # refuses what attach would refuse
    look = Look(settings.access, settings.topic, arguments.start, arguments.records)
    reports = [check(source, look) for source in sources]
    for report in reports:
        if arguments.json:
            print(msgspec.json.encode(report).decode())
        else:
            print_report(report)
    return 0 if all(report.fine for report in reports) else 2


def _of_topic(sources: Sequence[AnySource], topic: str | None) -> list[AnySource]:
    found = [source for source in sources if topic in (None, source.topic)]
    if topic and not found:
        raise UsageError(
            f"no [[source]] table of streams.toml names topic {topic!r}",
            hint=f"They name {', '.join(sorted({source.topic for source in sources})) or 'none'}.",
        )
    return found


def _target(settings: StreamsSettings, name: str) -> Target:
    topics = {source.topic for source in settings.source}
    for ours in {settings.topic, settings.items_topic} & topics:
        raise UsageError(
            f"topic {ours!r} is a [[source]] and what is fed from it",
            hint="Name another `topic` or `items_topic`; a topic that holds our events needs no [[source]] at all.",
        )
    has_items = any(source.kind == "item" for source in settings.source)
    return Target(
        events=ensure_topic(settings.access, settings.topic),
        items=Log(settings.access, settings.items_topic).identity() if has_items else None,
        group=settings.attach_group,
        name=name,
        tick_seconds=settings.attach_tick_seconds,
        records=settings.attach_records,
    )


def _stop_at_signals() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set; the second of them ends a wait for a broker that is gone."""
    stop = threading.Event()

    def handle(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop
