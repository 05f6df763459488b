"""What validation records say of what is served: whether it has to be rolled back, and which base may follow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts import deltas, rebases, recall, served
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.layout import Layout
from contracts.recall import Recall, is_worse, sum_of, validation_of
from contracts.served import Served
from contracts.validation import BlockScore
from publisher.candidate import former_of
from publisher.settings import PublisherSettings

HALVES = 2


@dataclass(frozen=True)
class Fall:
    """The served rows found less than the frozen base for a set time: go back to version `to`, and say `why`."""

    to: int
    why: str


def fallen(layout: Layout, settings: PublisherSettings, head: Entry[Served]) -> Fall | None:
    """Return where to roll back to, None while all is well.

    The records of the last `rollback_after_seconds` of watermark are judged, each half of that time by itself: both
    have to be worse than chance allows (and so the whole is), on `limits.recall_clicks` clicks at least. What came
    before the last rollback is not asked again. The version gone back to is the newest on this base from before then.
    """
    length = int(settings.rollback_after_seconds * 1000)
    if not length or head.body.action == "rollback":
        return None
    since = head.body.trend_time - length
    halves = [Recall() for _ in range(HALVES)]
    for entry, records in _since(layout, head.body, since):
        halves[entry.body.watermark - since > length / HALVES].add(records)
    if any(half.clicks < settings.limits.recall_clicks or not is_worse(half.served, half.frozen) for half in halves):
        return None
    to = _version_before(layout, head, since)
    if to is None:
        return None
    whole = sum_of(halves)
    found, control = (hits / whole.clicks for hits in (whole.served, whole.frozen))
    hours = settings.rollback_after_seconds / 3600
    return Fall(to, f"for {hours:g} h recall@{whole.k} was {found:.4f}, the frozen base's {control:.4f}")


def ready_base(layout: Layout, settings: PublisherSettings, head: Entry[Served]) -> str | None:
    """Return the base that should be served from now on, None while there is none.

    It is a later one of the same topic that the trainer called ready (`contracts.rebases`), it was never served before
    (or a rollback from it would not last), its deltas have caught up (in each partition to within a publish interval of
    what is served), and on the clicks of the last `rollback_after_seconds` of watermark it found no less than the base
    that is served: the trainer's verdict may be some hours old.
    """
    store = BaseStore(layout)
    now = store.open(head.body.base_id)
    later = [base for base in map(store.open, store.ids()) if _follows(now, base)]
    chain = served.chain(layout)
    ready = [base for base in later if rebases.state(layout, base) == "ready"]
    bases = [base for base in ready if former_of(chain, head, base.digest) is None]
    for base in sorted(bases, key=lambda base: base.manifest.cut_watermark, reverse=True):
        if _has_caught_up(layout, settings, base, head.body) and _is_no_worse(layout, settings, base, head.body):
            return base.manifest.base_id
    return None


def _follows(now: OpenBase, base: OpenBase) -> bool:
    facts = [(b.manifest.topic, b.manifest.topic_id, b.manifest.partitions) for b in (now, base)]
    return facts[0] == facts[1] and base.manifest.cut_watermark > now.manifest.cut_watermark


def _has_caught_up(layout: Layout, settings: PublisherSettings, base: OpenBase, body: Served) -> bool:
    slack = int(settings.interval_seconds * 1000)
    for position in body.positions:
        head = deltas.chain(layout, base.manifest.base_id, position.partition).head()
        reached = head.body.watermark if head else base.manifest.cut_watermark
        if reached < position.watermark - slack:
            return False
    return True


def _is_no_worse(layout: Layout, settings: PublisherSettings, base: OpenBase, body: Served) -> bool:
    since = max(body.trend_time - int(settings.rollback_after_seconds * 1000), base.manifest.cut_watermark)
    until = [position.watermark for position in sorted(body.positions, key=lambda position: position.partition)]
    both = recall.compared(layout, (body.base_id, base.manifest.base_id), since, until)
    return both.clicks < settings.limits.recall_clicks or not both.is_worse


def _since(layout: Layout, body: Served, since: int) -> Iterator[tuple[Entry[Delta], list[BlockScore]]]:
    """Yield the served deltas that reached beyond `since`, each with its records; none that was held, or is older."""
    for position in body.positions:
        chain = deltas.chain(layout, body.base_id, position.partition)
        held = max((hold.last for hold in body.holds if hold.partition == position.partition), default=0)
        for number in range(position.delta, held, -1):
            entry = chain.read(number)
            if entry.body.watermark <= since:
                break
            yield entry, validation_of(chain, entry)


def _version_before(layout: Layout, head: Entry[Served], since: int) -> int | None:
    """Return the newest version of this base whose content is from before `since`; else its first one."""
    chain, oldest = served.chain(layout), None
    for number in range(head.number - 1, 0, -1):
        body = chain.read(number).body
        if body.base_digest != head.body.base_digest or body.action == "rollback":
            break
        oldest = number
        if body.trend_time <= since:
            break
    return oldest
