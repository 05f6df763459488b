"""`freshet trainer ...`: parse, call, print. Torch is imported when a command runs, not for its help."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import command_line, days
from contracts.collector import collect_seldom
from contracts.ending import Ending
from contracts.layout import Layout

if TYPE_CHECKING:
    from contracts.bases import OpenBase
    from contracts.chain import Entry
    from contracts.deltas import Delta
    from trainer.online import OnlineWorker
    from trainer.settings import TrainerSettings


@dataclass(frozen=True)
class RetrainArguments:
    """What `freshet trainer retrain` was asked for."""

    layout: Layout
    topic: str | None
    days: tuple[str, ...]
    zone: str | None
    parent: str
    calibrate: bool
    accept: str
    items: Path | None


@dataclass(frozen=True)
class OnlineArguments:
    """What `freshet trainer online` was asked for; `partitions` empty: all; `until` in ms of watermark."""

    layout: Layout
    topic: str | None
    base: str
    partitions: tuple[int, ...]
    follow: bool
    until: int | None


def parse_retrain(argv: Sequence[str]) -> RetrainArguments:
    """Parse the arguments of `retrain`."""
    made = command_line.parser(
        "trainer retrain",
        "Train all parameters on whole days of committed samples and write a new base.",
        "A day is ready when the watermark of every partition has passed its end. The parent is always a full base:\n"
        "what the online update learned never enters a retrain. The same command again finds the base written.\n"
        "On top of a parent the online settings are chosen first, by folding the first day onto the parent.",
    )
    made.add_argument("--topic", help="whose shards to read (default: the setting `topic`)")
    made.add_argument(
        "--day", action="append", required=True, metavar="YYYY-MM-DD", help="a day to train on; repeat it, in order"
    )
    made.add_argument("--day-zone", help="time zone of the days, e.g. America/Sao_Paulo (default: the setting)")
    start = made.add_mutually_exclusive_group()
    start.add_argument("--parent", default="newest", help="base to start from (default: the newest before the days)")
    start.add_argument("--from-scratch", action="store_true", help="start a new lineage")
    made.add_argument(
        "--accept-day",
        default="",
        metavar="REASON",
        help="train on a day unlike those before it, and say why",
    )
    made.add_argument(
        "--items",
        type=Path,
        metavar="FILE",
        help="what items are about: item events, a JSON line each (a whole log will do), for the item tower; the first "
        "base of a lineage decides which features are used",
    )
    made.add_argument("--no-calibrate", action="store_true", help="keep the online settings as they are configured")
    given = made.parse_args(argv)
    parent = "" if given.from_scratch else given.parent
    layout, calibrate = command_line.layout(given), not given.no_calibrate
    days = tuple(given.day)
    return RetrainArguments(layout, given.topic, days, given.day_zone, parent, calibrate, given.accept_day, given.items)


def parse_online(argv: Sequence[str]) -> OnlineArguments:
    """Parse the arguments of `online`."""
    made = command_line.parser(
        "trainer online",
        "Fold committed samples into user rows and trend counts; commit a delta per partition and publish interval.",
        "Towers and items stay as the base has them. It may be killed at any time; started again, it goes on to the\n"
        "same bits. At its end it prints the digest of each partition's state, and where it owns all one of the whole.",
    )
    made.add_argument("--base", default="newest", help="id of the base to learn on (default: newest)")
    made.add_argument("--topic", help="whose shards to read (default: the setting `topic`)")
    made.add_argument("--partitions", type=_numbers, default=(), metavar="0,1", help="partitions to own (default: all)")
    end = made.add_mutually_exclusive_group()
    end.add_argument("--follow", action="store_true", help="go on as shards are committed, until a signal")
    end.add_argument("--until", type=int, metavar="MS", help="stop at this watermark (ms since 1970)")
    given = made.parse_args(argv)
    layout = command_line.layout(given)
    return OnlineArguments(layout, given.topic, given.base, given.partitions, given.follow, given.until)


def retrain(argv: Sequence[str]) -> int:
    """Run `freshet trainer retrain`."""
    arguments = parse_retrain(argv)
    from contracts.catalogue import read_catalogue
    from trainer.progress import DayBars
    from trainer.retrain import RetrainPlan
    from trainer.retrain import retrain as run
    from trainer.settings import TrainerSettings

    zone = {"day_zone": arguments.zone} if arguments.zone else {}
    settings = TrainerSettings.load(**zone)
    if not arguments.calibrate:
        settings = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"calibrate": False})})
    catalogue = read_catalogue(arguments.items) if arguments.items else None
    what = (arguments.topic or settings.topic, arguments.days, arguments.parent)
    plan = RetrainPlan(*what, settings, arguments.accept, catalogue)
    with DayBars() as bars:
        base = run(arguments.layout, plan, bars.advance)
    _print_base(base)
    return 0


def online(argv: Sequence[str]) -> int:
    """Run `freshet trainer online`."""
    arguments = parse_online(argv)
    from contracts.bases import BaseStore
    from trainer import lineage
    from trainer.digest import online_digest
    from trainer.online import OnlineWorker
    from trainer.settings import TrainerSettings

    collect_seldom()
    settings = TrainerSettings.load()
    topic, layout = arguments.topic or settings.topic, arguments.layout
    is_newest = arguments.base == lineage.NEWEST
    base = lineage.newest(layout, topic) if is_newest else BaseStore(layout).open(arguments.base)
    owned = arguments.partitions or tuple(range(base.manifest.partitions))
    workers = [OnlineWorker(layout, base, topic, partition, settings) for partition in owned]
    try:
        _work(workers, arguments, settings)
    finally:
        for worker in workers:
            worker.close()
    digests = [online_digest(layout, base, partition) for partition in owned]
    for partition, digest in zip(owned, digests, strict=True):
        print(f"digest {base.manifest.base_id} {partition} {digest}")
    if 1 < len(owned) == base.manifest.partitions:
        print(f"digest {base.manifest.base_id} all {hashlib.sha256(''.join(digests).encode()).hexdigest()}")
    return 0


def _work(workers: Sequence[OnlineWorker], arguments: OnlineArguments, settings: TrainerSettings) -> None:
    """Advance all workers in turn until nothing more is committed, or with --follow until a signal."""

    def stop() -> None:
        for worker in workers:
            worker.stop()

    ended = Ending(stop)
    until = {} if arguments.until is None else {"until": arguments.until}
    zone = workers[0].base.manifest.day_zone
    while not ended.is_set():
        moved = [worker.advance(**until, committed=lambda delta: _print_delta(delta, zone)) for worker in workers]
        if any(moved) or (arguments.follow and not ended.wait(settings.poll_seconds)):
            continue
        return


def _print_delta(delta: Entry[Delta], zone: str) -> None:
    body = delta.body
    reached = days.clock(body.watermark, zone)
    print(
        f"{reached:%Y-%m-%d %H:%M}  partition {body.partition}  delta {delta.number}  {body.samples} samples "
        f"({body.learned} learned, {body.trend_only} trend only, {body.set_aside} set aside)  "
        f"{body.touched_rows} rows touched",
        flush=True,
    )


def _print_base(base: OpenBase) -> None:
    manifest = base.manifest
    print(f"base {manifest.base_id}  digest {base.digest}")
    print(f"  days {', '.join(manifest.days)} ({manifest.day_zone}), parent {manifest.parent or 'none'}")
    for name, value in sorted(manifest.metrics.items()):
        print(f"  {name.replace('_', ' ')}: {value:g}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of partitions such as 0,1") from None
