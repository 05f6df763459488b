"""`freshet trainer retrain`: parse, call, print. Torch is imported when a command runs, not for its help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import command_line
from contracts.layout import Layout

if TYPE_CHECKING:
    from contracts.bases import OpenBase


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
    print_base(base)
    return 0


def print_base(base: OpenBase) -> None:
    """Print what a base is, and its figures."""
    manifest = base.manifest
    print(f"base {manifest.base_id}  digest {base.digest}")
    print(f"  days {', '.join(manifest.days)} ({manifest.day_zone}), parent {manifest.parent or 'none'}")
    for name, value in sorted(manifest.metrics.items()):
        print(f"  {name.replace('_', ' ')}: {value:g}")
