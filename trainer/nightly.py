"""The night: whole days of samples become a base that may take over, or a reason on record why not.

 1. plan: every whole day since the newest base that was not refused, so a missed night is caught up by the next one.
 2. retrain on them; a day that is unlike those before it is refused by name.
 3. evaluate: how the first of these days went on the parent, frozen and fresh.
 4. the push gate: a base that has learned less than its parent is refused.
 5. announce it; from here on the rebase has a record of its own (`trainer.rebase`).

Each step ends with one record, created exclusively (`contracts.nights`); killed anywhere, the next run goes on behind
the last one, with the same days on the same parent. A refused night changes nothing: what is served and learned goes
on, and the next night starts from the same parent.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from contracts import nights, rebases, shards
from contracts.bases import BaseStore, OpenBase
from contracts.catalogue import Catalogue
from contracts.chain import Entry
from contracts.crash import reach
from contracts.days import bounds, day_of, span
from contracts.errors import ChainTaken, OperatorError
from contracts.layout import Layout
from contracts.nights import OVER, Night
from trainer.branches import Branches
from trainer.calibration import Yesterday
from trainer.evaluation.day import read_log_day
from trainer.lineage import FROM_SCRATCH, require_trained_here
from trainer.night_review import push_gates, review
from trainer.rebase import Rebasing, announce, refuse
from trainer.retrain import Progress, RetrainPlan, retrain
from trainer.settings import TrainerSettings
from trainer.training_days import Topic, find_day, open_topic


@dataclass(frozen=True)
class NightOrder:
    """What a night is told: `accept`: why days unlike those before them are taken; `again`: also what was refused."""

    layout: Layout
    topic: str
    settings: TrainerSettings
    who: str
    accept: str = ""
    again: bool = False
    catalogue: Catalogue | None = None


def nightly(
    order: NightOrder,
    progress: Progress = lambda what, done, total: None,
    say: Callable[[Entry[Night]], None] = lambda entry: None,
) -> Entry[Night] | None:
    """Finish the night that was begun, or plan one and take it to its end; return its last record.

    None where no whole day is there that no base has seen. What was refused is not tried again unless the days are
    others or the order says so. `say` is told each record. Raises `MissingInput` where there are no shards.
    """
    steps = {"planned": _retrain, "retrained": _evaluate, "evaluated": _judge, "passed": _announce}
    chain = nights.chain(order.layout, order.topic)
    head = chain.head()
    try:
        if head is None or head.body.step in OVER:
            body = _plan(order)
            if body is None or (head and _is_refused_already(order, head.body, body)):
                return head if body else None
            head = _record(order, head, body)
            say(head)
        while head.body.step not in OVER:
            head = _record(order, head, steps[head.body.step](order, head.body, progress))
            say(head)
        return head
    except ChainTaken:
        raise ChainTaken(
            f"another `freshet trainer nightly` is at work on topic {order.topic!r}",
            hint="Let it end; then the same command finds what it made.",
        ) from None


def _record(order: NightOrder, head: Entry[Night] | None, body: Night) -> Entry[Night]:
    chain = nights.chain(order.layout, order.topic)
    entry = chain.prepare(head, msgspec.structs.replace(body, who=order.who, created_at=time.time_ns() // 10**6), {})
    reach("nightly.record.before")
    chain.create(entry)
    reach("nightly.record.after")
    return entry


def _plan(order: NightOrder) -> Night | None:
    # Step 1: plan
    topic, zone = open_topic(order.layout, order.topic), order.settings.day_zone
    standing = rebases.not_refused(order.layout, order.topic)
    parent = standing[-1] if standing else None
    if parent:
        require_trained_here(parent)
    first = day_of(parent.manifest.cut_watermark, zone) if parent else _first_day(topic, zone)
    reached = [head.body.watermark for chain in topic.chains if (head := chain.head())]
    days = _days_between(first, day_of(min(reached), zone))
    if not days and (waiting := _days_between(first, day_of(max(reached), zone))):
        find_day(topic, waiting[0], zone)  # which names the partition that has not come so far
    if not any(_has_samples(topic, day, zone) for day in days):
        return None
    if parent and bounds(days[0], zone)[0] < parent.manifest.cut_watermark:  # it was cut within a day
        days[0] = span(parent.manifest.cut_watermark, bounds(days[0], zone)[1])
    name = parent.manifest.base_id if parent else FROM_SCRATCH
    return Night("planned", tuple(days), name, "", {}, (), order.who, "", 0)


def _retrain(order: NightOrder, night: Night, progress: Progress) -> Night:
    # Step 2: retrain
    plan = RetrainPlan(order.topic, night.days, night.parent, order.settings, order.accept, order.catalogue)
    try:
        base = retrain(order.layout, plan, progress)
    except OperatorError as error:  # a day that is refused, or what no later run could mend by itself
        return msgspec.structs.replace(night, step="refused", why=str(error))
    return msgspec.structs.replace(night, step="retrained", base_id=base.manifest.base_id)


def _evaluate(order: NightOrder, night: Night, progress: Progress) -> Night:
    # Step 3: evaluate
    topic = open_topic(order.layout, order.topic)
    if not night.parent or not _has_samples(topic, night.days[0], order.settings.day_zone):
        return msgspec.structs.replace(night, step="evaluated")
    progress(f"judge {night.days[0]}", 0, 1)
    before, zone = _open(order, night.parent).manifest.days[-1], order.settings.day_zone
    interval = order.settings.publish_interval_ms
    found = review(Yesterday(order.layout, order.topic, night.parent, before, night.days[0], zone, interval))
    progress(f"judge {night.days[0]}", 1, 1)
    return msgspec.structs.replace(night, step="evaluated", review=found)


def _judge(order: NightOrder, night: Night, progress: Progress) -> Night:
    # Step 4: the push gate
    if not night.parent:
        return msgspec.structs.replace(night, step="passed")
    base, topic, zone = _open(order, night.base_id), open_topic(order.layout, order.topic), order.settings.day_zone
    day = read_log_day(topic, next(day for day in reversed(night.days) if _has_samples(topic, day, zone)), zone)
    gates = push_gates(base, _open(order, night.parent), day, order.settings.night)
    against = "; ".join(f"{gate.name}: {gate.detail}" for gate in gates if not gate.passed)
    if against:
        refuse(order.layout, base, order.who, against)
    return msgspec.structs.replace(night, step="refused" if against else "passed", gates=gates, why=against)


def _announce(order: NightOrder, night: Night, progress: Progress) -> Night:
    # Step 5: announce
    announce(rebasing(order, _open(order, night.base_id)))
    return msgspec.structs.replace(night, step="announced")


def rebasing(order: NightOrder, base: OpenBase) -> Rebasing:
    """Return what a rebase onto a base of this order works with."""
    branches = Branches(order.layout, order.topic, order.settings)
    return Rebasing(order.layout, base, branches, order.settings, order.who)


def _is_refused_already(order: NightOrder, last: Night, planned: Night) -> bool:
    if (last.days, last.parent) != (planned.days, planned.parent) or order.again or order.accept:
        return False
    if last.step == "refused":
        return True
    there = last.base_id in BaseStore(order.layout).ids()
    return there and rebases.state(order.layout, _open(order, last.base_id)) == "refused"


def _open(order: NightOrder, base_id: str) -> OpenBase:
    return BaseStore(order.layout).open(base_id)


def _has_samples(topic: Topic, name: str, zone: str) -> bool:
    day = find_day(topic, name, zone)
    return day.first != day.next


def _first_day(topic: Topic, zone: str) -> str:
    """Return the day of the first sample of a topic; without one, the day that its shards have come to."""
    firsts = [sample.watermark for chain in topic.chains if (sample := next(shards.read_from(chain, 0), None))]
    reached = [head.body.watermark for chain in topic.chains if (head := chain.head())]
    return day_of(min(firsts or reached), zone)


def _days_between(first: str, end: str) -> list[str]:
    """Return the days from `first` up to the one before `end`."""
    start, stop = dt.date.fromisoformat(first), dt.date.fromisoformat(end)
    return [(start + dt.timedelta(days=n)).isoformat() for n in range(max((stop - start).days, 0))]
