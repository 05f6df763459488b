"""`freshet trainer nightly` and `rebase`: parse, call, print. Torch is imported when one runs, not for its help."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import command_line
from contracts.ending import Ending
from contracts.layout import Layout

if TYPE_CHECKING:
    from contracts.bases import OpenBase
    from contracts.chain import Entry
    from contracts.nights import Night
    from contracts.rebases import Rebase
    from trainer.nightly import NightOrder
    from trainer.rebase import Rebasing

REFUSED = 2  # a person has to look
AFTER_REFUSAL = "  --accept-day REASON takes days that are right; --again tries anew, after a change of settings."


@dataclass(frozen=True)
class NightlyArguments:
    """What `freshet trainer nightly` was asked for."""

    layout: Layout
    topic: str | None
    zone: str | None
    accept: str
    again: bool
    items: Path | None
    follow: bool


@dataclass(frozen=True)
class RebaseArguments:
    """What `freshet trainer rebase` was asked for; `base` empty: the newest; `again`: why a refused one is judged."""

    layout: Layout
    topic: str | None
    base: str
    again: str
    refuse: str
    follow: bool


def parse_nightly(argv: Sequence[str]) -> NightlyArguments:
    """Parse the arguments of `nightly`."""
    made = command_line.parser(
        "trainer nightly",
        "The night in one command: retrain on every whole day that no base has seen, and let the new base take over.",
        "Statistics gate, retrain, evaluation, push gate, announcement, rebase. Each step is on record: killed\n"
        "anywhere, the same command goes on there, and a missed night is caught up by the next. Run it once a night,\n"
        "by cron or a systemd timer, beside `freshet trainer online --follow` and `freshet publish run`, which take\n"
        "up what is ready.\n"
        "Exit code 2: the night was refused; what is served goes on as it was.",
    )
    made.add_argument("--topic", help="whose shards to read (default: the setting `topic`)")
    made.add_argument("--day-zone", help="time zone of the days, e.g. America/Sao_Paulo (default: the setting)")
    made.add_argument(
        "--accept-day", default="", metavar="REASON", help="train on days unlike those before them, and say why"
    )
    made.add_argument("--again", action="store_true", help="try again what was refused, after a setting was changed")
    made.add_argument("--items", type=Path, metavar="FILE", help="what items are about, as for `trainer retrain`")
    made.add_argument("--follow", action="store_true", help="afterwards go on updating the new base until a signal")
    given = made.parse_args(argv)
    layout = command_line.layout(given)
    return NightlyArguments(
        layout, given.topic, given.day_zone, given.accept_day, given.again, given.items, given.follow
    )


def parse_rebase(argv: Sequence[str]) -> RebaseArguments:
    """Parse the arguments of `rebase`."""
    made = command_line.parser(
        "trainer rebase",
        "Fold today's samples onto a new base, score them before they are learned, and say if it may take over.",
        "It may be killed at any time; started again, it goes on where it was. The base before it is updated\n"
        "meanwhile by `freshet trainer online --follow`. `freshet publish run` cuts over to a base that is ready.\n"
        "Exit code 2: the base was refused; its figures are on record, and what is served goes on as it was.",
    )
    made.add_argument("--base", default="", metavar="ID", help="the new base (default: the newest that is not refused)")
    made.add_argument("--topic", help="whose shards to read (default: the setting `topic`)")
    anew = made.add_mutually_exclusive_group()
    anew.add_argument("--again", default="", metavar="REASON", help="judge a refused base by newer clicks, and say why")
    anew.add_argument(
        "--refuse", default="", metavar="REASON", help="refuse --base by hand: it is no parent, nor cut over to"
    )
    made.add_argument("--follow", action="store_true", help="afterwards go on updating the base until a signal")
    given = made.parse_args(argv)
    if given.refuse and not given.base:
        made.error("--refuse needs --base ID")
    what = (given.topic, given.base, given.again, given.refuse, given.follow)
    return RebaseArguments(command_line.layout(given), *what)


def nightly(argv: Sequence[str]) -> int:
    """Run `freshet trainer nightly`."""
    arguments = parse_nightly(argv)
    from contracts.bases import BaseStore
    from contracts.catalogue import read_catalogue
    from trainer.nightly import NightOrder, rebasing
    from trainer.nightly import nightly as run
    from trainer.progress import DayBars
    from trainer.settings import TrainerSettings

    settings = TrainerSettings.load(**({"day_zone": arguments.zone} if arguments.zone else {}))
    catalogue = read_catalogue(arguments.items) if arguments.items else None
    what = (arguments.layout, arguments.topic or settings.topic, settings, command_line.who())
    order = NightOrder(*what, arguments.accept, arguments.again, catalogue)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what it has started, too
    _finish(order)
    with DayBars() as bars:
        entry = run(order, bars.advance, _print_night)
    last = entry or _last_night(order)
    if entry is None:
        print("No whole day with samples is there that no base has seen.")
    if last and last.body.step == "refused":
        print(f"freshet: the night was refused: {last.body.why}\n{AFTER_REFUSAL}", file=sys.stderr)
        return REFUSED
    if last is None or last.body.base_id not in BaseStore(order.layout).ids():
        return 0
    base = BaseStore(order.layout).open(last.body.base_id)
    return _rebase(rebasing(order, base), arguments.follow)


def _finish(order: NightOrder) -> None:
    """Finish the rebase of the last night, so that no base is a parent that nobody has judged."""
    from contracts import rebases
    from contracts.bases import BaseStore
    from trainer.nightly import rebasing

    last, store = _last_night(order), BaseStore(order.layout)
    if last is None or last.body.step != "announced" or last.body.base_id not in store.ids():
        return
    base = store.open(last.body.base_id)
    if rebases.state(order.layout, base) not in rebases.OVER:
        _rebase(rebasing(order, base), follow=False)


def rebase(argv: Sequence[str]) -> int:
    """Run `freshet trainer rebase`."""
    arguments = parse_rebase(argv)
    from contracts.bases import BaseStore
    from trainer.branches import Branches
    from trainer.rebase import Rebasing, judge_again, refuse
    from trainer.settings import TrainerSettings

    settings, layout = TrainerSettings.load(), arguments.layout
    topic = arguments.topic or settings.topic
    base = BaseStore(layout).open(arguments.base) if arguments.base else _newest(layout, topic)
    branches = Branches(layout, base.manifest.topic, settings)
    what = Rebasing(layout, base, branches, settings, command_line.who())
    if arguments.refuse:
        refuse(layout, base, command_line.who(), arguments.refuse)
        print(f"Base {base.manifest.base_id} is refused: the next night starts from another. What is served stays.")
        return 0
    if arguments.again:
        judge_again(what, arguments.again)
    return _rebase(what, arguments.follow)


def _newest(layout: Layout, topic: str) -> OpenBase:
    from contracts import rebases

    standing = rebases.not_refused(layout, topic)
    return standing[-1] if standing else rebases.newest(layout, topic)  # which says that there is none


def _last_night(order: NightOrder) -> Entry[Night] | None:
    from contracts import nights

    return nights.chain(order.layout, order.topic).head()


def _rebase(what: Rebasing, follow: bool) -> int:
    from trainer.progress import DayBars
    from trainer.rebase import rebase as run

    base_id = what.base.manifest.base_id
    try:
        with DayBars() as bars:
            advance = bars.advance
            entry = run(replace(what, progress=lambda done, total: advance(f"fold onto {base_id}", done, total)))
        _print_rebase(entry)
        if entry.body.state == "refused":
            return REFUSED
        if follow:
            _follow(what)
        return 0
    finally:
        what.branches.close()


def _follow(what: Rebasing) -> None:
    """Go on updating the branch until a signal."""
    from trainer.commands_online import print_delta

    ended = Ending(what.branches.stop)
    what.branches.hold([what.base])
    zone = what.base.manifest.day_zone
    while not ended.is_set():
        if not what.branches.advance(committed=lambda delta: print_delta(delta, zone)):
            ended.wait(what.settings.poll_seconds)


def _print_night(entry: Entry[Night]) -> None:
    night = entry.body
    on = f"on {night.parent}" if night.parent else "from scratch"
    if night.step == "planned":
        print(f"planned: {', '.join(night.days)} {on}", flush=True)
    elif night.step == "retrained":
        print(f"retrained: base {night.base_id}", flush=True)
    elif night.step == "evaluated" and night.review:
        arms = dict.fromkeys(name.partition(".")[0] for name in night.review)
        shown = ", ".join(
            f"{arm} {night.review[f'{arm}.all']:.4f} / {night.review[f'{arm}.active']:.4f}" for arm in arms
        )
        print(f"evaluated: recall@20 of {night.days[0]} {on}, all / active clicks: {shown}", flush=True)
    elif night.step == "passed":
        for gate in night.gates:
            print(f"push gate {gate.name}: {gate.detail}", flush=True)
    elif night.step == "announced":
        print(f"announced: base {night.base_id}", flush=True)


def _print_rebase(entry: Entry[Rebase]) -> None:
    body = entry.body
    print(f"{body.state}: base {body.base_id}: {body.why}", flush=True)
    if body.state == "ready":
        print(f"`freshet publish run` cuts over to it; by hand: `freshet publish once --base {body.base_id}`.")
    else:
        again = f"freshet trainer rebase --base {body.base_id} --again REASON"
        print(f"What is served goes on as it was. To judge it by newer clicks: `{again}`.")
