"""`freshet trainer online`: parse, call, print. Torch is imported when the command runs, not for its help."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts import command_line, days
from contracts.collector import collect_seldom
from contracts.ending import Ending
from contracts.errors import FreshetError
from contracts.layout import Layout

if TYPE_CHECKING:
    from contracts.bases import OpenBase
    from contracts.chain import Entry
    from contracts.deltas import Delta
    from trainer.branches import Branches
    from trainer.metrics import OnlineMetrics
    from trainer.settings import TrainerSettings

NEWEST = "newest"


@dataclass(frozen=True)
class OnlineArguments:
    """What `freshet trainer online` was asked for; `partitions` empty: all; `until` in ms of watermark.

    `metrics_port` None: that of the settings.
    """

    layout: Layout
    topic: str | None
    base: str
    partitions: tuple[int, ...]
    follow: bool
    until: int | None
    metrics_port: int | None


def parse_online(argv: Sequence[str]) -> OnlineArguments:
    """Parse the arguments of `online`."""
    made = command_line.parser(
        "trainer online",
        "Fold committed samples into user rows and trend counts; commit a delta per partition and publish interval.",
        "Towers and items stay as the base has them. It may be killed at any time; started again, it goes on to the\n"
        "same bits. At its end it prints the digest of each partition's state, and of all together if it owns all.\n"
        "With --follow and no --base it takes up each newer base that is ready, and goes on with those that were\n"
        "served in the last `night.branch_ms`, as long as a rollback may go back to them.",
    )
    made.add_argument("--base", default=NEWEST, help="id of the base to learn on, and no other (default: newest)")
    made.add_argument("--topic", help="whose shards to read (default: that of --base; without it the setting `topic`)")
    made.add_argument("--partitions", type=_numbers, default=(), metavar="0,1", help="partitions to own (default: all)")
    end = made.add_mutually_exclusive_group()
    end.add_argument("--follow", action="store_true", help="go on as shards are committed, until a signal")
    end.add_argument("--until", type=int, metavar="MS", help="stop at this watermark (ms since 1970)")
    made.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="with --follow: answer Prometheus at /metrics (default: the setting http_port; 0: nowhere)",
    )
    given = made.parse_args(argv)
    if given.metrics_port is not None and not given.follow:
        made.error("--metrics-port goes with --follow")
    what = (given.topic, given.base, given.partitions, given.follow, given.until)
    return OnlineArguments(command_line.layout(given), *what, given.metrics_port)


def online(argv: Sequence[str]) -> int:
    """Run `freshet trainer online`."""
    arguments = parse_online(argv)
    from trainer.branches import Branches
    from trainer.metrics import OnlineMetrics, answering
    from trainer.settings import TrainerSettings

    collect_seldom()
    port = arguments.metrics_port if arguments.follow else 0
    settings = TrainerSettings.load(http_port=port)
    topic = arguments.topic or _topic(arguments, settings)
    branches = Branches(arguments.layout, topic, settings, arguments.partitions)
    if arguments.follow:
        branches.say = lambda text: print(text, flush=True)
    branches.hold(_wanted(arguments, topic, settings))
    metrics = OnlineMetrics(arguments.layout)
    try:
        with answering(metrics, settings):
            _work(branches, metrics, arguments, topic, settings)
    finally:
        bases = branches.bases
        branches.close()
    for base in bases:
        print_digests(arguments.layout, base, branches.owned(base))
    return 0


def print_digests(layout: Layout, base: OpenBase, owned: Sequence[int]) -> None:
    """Print the digest of each partition's online state, and where all are owned one of the whole."""
    from trainer.digest import online_digest

    digests = [online_digest(layout, base, partition) for partition in owned]
    for partition, digest in zip(owned, digests, strict=True):
        print(f"digest {base.manifest.base_id} {partition} {digest}")
    if 1 < len(owned) == base.manifest.partitions:
        print(f"digest {base.manifest.base_id} all {hashlib.sha256(''.join(digests).encode()).hexdigest()}")


def print_delta(delta: Entry[Delta], zone: str) -> None:
    """Print a line on a delta."""
    body = delta.body
    reached = days.clock(body.watermark, zone)
    print(
        f"{reached:%Y-%m-%d %H:%M}  partition {body.partition}  delta {delta.number}  {body.samples} samples "
        f"({body.learned} learned, {body.trend_only} trend only, {body.set_aside} set aside)  "
        f"{body.touched_rows} rows touched",
        flush=True,
    )


def _topic(arguments: OnlineArguments, settings: TrainerSettings) -> str:
    from contracts.bases import BaseStore

    if arguments.base == NEWEST:
        return settings.topic
    return BaseStore(arguments.layout).open(arguments.base).manifest.topic


def _wanted(arguments: OnlineArguments, topic: str, settings: TrainerSettings) -> list[OpenBase]:
    from contracts import rebases
    from contracts.bases import BaseStore
    from trainer.branches import live

    if arguments.base != NEWEST:
        return [BaseStore(arguments.layout).open(arguments.base)]
    if arguments.follow:
        return live(arguments.layout, topic, settings.night.branch_ms)
    return [rebases.newest(arguments.layout, topic)]


def _work(
    branches: Branches, metrics: OnlineMetrics, arguments: OnlineArguments, topic: str, settings: TrainerSettings
) -> None:
    """Advance all branches in turn until nothing more is committed, or with --follow until a signal."""

    def committed(delta: Entry[Delta]) -> None:
        print_delta(delta, zone)
        metrics.committed(delta)

    def show() -> None:
        metrics.hold([base.manifest.base_id for base in branches.bases], branches.heads)

    ended = Ending(branches.stop)
    until = {} if arguments.until is None else {"until": arguments.until}
    zone = branches.bases[0].manifest.day_zone
    looked, trouble = time.monotonic(), ""
    show()
    while not ended.is_set():
        moved = branches.advance(**until, committed=committed)
        if arguments.follow and time.monotonic() - looked >= settings.night.look_seconds and not ended.is_set():
            trouble = _look(branches, arguments, topic, settings, trouble)
            show()
            looked = time.monotonic()
        if moved or (arguments.follow and not ended.wait(settings.poll_seconds)):
            continue
        return


def _look(branches: Branches, arguments: OnlineArguments, topic: str, settings: TrainerSettings, trouble: str) -> str:
    """Take up what is ready and let go what rests; where a base cannot be read, all branches stay as they are.

    Returns what is the trouble; the one that was said before is not said again.
    """
    try:
        wanted = _wanted(arguments, topic, settings)
    except FreshetError as error:
        if str(error) != trouble:
            print(f"Which branches to update could not be decided: {error}", flush=True)
        return str(error)
    branches.hold(wanted)
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of partitions such as 0,1") from None
