"""One partition folded again from the base's cut, with an eye on one user.

The classes are those of the online worker, and so are the boundaries: those of the deltas there are. So what comes out
is, bit for bit, what the deltas hold; where it is not, `differs` says in which delta and in what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts import deltas
from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.days import shown
from contracts.deltas import Content, Delta
from contracts.errors import ChainBroken
from contracts.rows import Row
from trainer.blocks import BlockCutter
from trainer.delta_content import DeltaContent, content
from trainer.explain_block import UserBlock, Watch
from trainer.one_thread import one_thread
from trainer.online import NEVER
from trainer.shard_feed import SampleColumns, open_feed


@dataclass
class Watched:
    """What was seen: `row` and `common` at `boundary` (ms), the last one folded to, and the partition's trend counts.

    `blocks`: those that hold clicks of the user, each with the number of the delta that it went into. `expired`:
    boundaries at which the row was let go. `waiting`: ordinals of clicks that no delta holds. `next_ordinal`: of the
    samples folded, `seen` of all that were looked at. `differs`: where the deltas say otherwise; empty: they agree.
    """

    row: Row | None
    common: Floats
    boundary: int
    next_ordinal: int
    seen: int
    common_samples: int = 0
    delta: int = 0
    blocks: list[tuple[int, UserBlock]] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    trend: dict[str, float] = field(default_factory=dict)
    differs: str = ""


@dataclass(frozen=True)
class Route:
    """What is folded: the user's partition of a base's topic up to each of `boundaries` (ms), one per entry of `chain`.

    Without any delta `entries` is empty. Samples emitted at `until` (ms) or later are not looked at.
    """

    base: OpenBase
    partition: int
    user: str
    boundaries: Sequence[int]
    entries: Sequence[Entry[Delta]]
    until: int = NEVER


def watch(route: Route, progress: Callable[[int], None]) -> Watched:
    """Fold the route and look on to its end; `progress` gets the ordinal reached. Where a delta disagrees, `differs`
    says so and folding goes on. Raises `ChainBroken` where the shards end before the deltas, and what their readers do.
    """
    base, manifest = route.base, route.base.manifest
    cut = manifest.cut[route.partition]
    seen = Watched(base.rows.get(route.user), base.common, manifest.cut_watermark, cut, cut)
    feed = open_feed(base.layout, manifest, route.partition, cut, manifest.cut_watermark)
    folding = _Folding(route, seen)
    with one_thread():
        for shard in feed.read():
            folding.take(shard.samples, shard.watermark)
            progress(seen.seen)
            if shard.watermark > route.until:
                break
    if folding.ahead and route.entries:
        last, reached = route.entries[-1], shown(folding.watermark, manifest.day_zone)
        raise ChainBroken(
            f"the shards of partition {route.partition} of topic {manifest.topic!r} end at sample {seen.seen} and at "
            f"{reached}, before delta {last.number} does: at sample {last.body.next_ordinal}",
            hint="Restore the shards, name the run folder that has them with --root, or explain less with --until.",
        )
    return seen


class _Folding:
    """The way along a route: blocks up to the last boundary, and only a look at what lies behind it."""

    def __init__(self, route: Route, seen: Watched) -> None:
        self._route, self._seen = route, seen
        self._watch = Watch(route.base, route.partition, route.user)
        self._cutter = BlockCutter(route.base.manifest.online, seen.next_ordinal)
        self.ahead = list(route.boundaries)
        self._last = self.ahead[-1] if self.ahead else seen.boundary
        self._before: Entry[Delta] | None = None
        self._fresh = list[UserBlock]()
        self.watermark = seen.boundary

    def take(self, samples: SampleColumns, watermark: int) -> None:
        """Take what a shard adds, which brings the watermark (ms) there."""
        self.watermark = watermark
        if self.ahead:
            for block in self._cutter.through(samples.before(self._last), min(watermark, self._last)):
                self._cross(int(block.watermarks[0]))
                if found := self._watch.learn(block):
                    self._fresh.append(found)
                self._seen.next_ordinal = block.next_ordinal
            self._cross(watermark)
        wanted = samples.before(self._route.until)
        self._seen.seen = max(self._seen.seen, wanted.next_ordinal)
        first = len(wanted.before(self._last))
        rest = wanted.part(first, len(wanted))
        self._seen.waiting += [rest.first_ordinal + n for n, user in enumerate(rest.users) if user == self._route.user]

    def _cross(self, watermark: int) -> None:
        while self.ahead and self.ahead[0] <= watermark:
            self._commit(self.ahead.pop(0))

    def _commit(self, boundary: int) -> None:
        """Do at a boundary what the worker does, and compare with the delta that it made there."""
        seen, learner, user = self._seen, self._watch.learner, self._route.user
        made = content(learner, boundary)
        if user in made.changes.tombstones:
            seen.row = None
            seen.expired.append(boundary)
        seen.row = made.rows.get(user, seen.row)
        seen.common, seen.common_samples = made.changes.common, made.changes.common_samples
        seen.trend.update(made.changes.trend)
        seen.boundary = boundary
        seen.delta += 1
        self._compare(made)
        seen.blocks += [(seen.delta, block) for block in self._fresh]
        self._fresh.clear()
        learner.commit()

    def _compare(self, made: DeltaContent) -> None:
        """Note the first delta that does not hold what was folded."""
        seen, base = self._seen, self._route.base
        if not self._route.entries:
            return
        entry = self._route.entries[seen.delta - 1]
        deltas.check_follows(entry, base.digest, self._before, base.manifest.cut[self._route.partition])
        self._before = entry
        chain = deltas.chain(base.layout, base.manifest.base_id, self._route.partition)
        what = difference(self._route.user, made, deltas.read_content(chain, entry))
        if entry.body.next_ordinal != seen.next_ordinal:
            what.insert(0, f"its samples end at {entry.body.next_ordinal}, those folded at {seen.next_ordinal}")
        if what and not seen.differs:
            seen.differs = f"delta {entry.number}: {'; '.join(what)}"


def difference(user: str, made: DeltaContent, held: Content) -> list[str]:
    """Return in words in what the state of a user, as it was folded, differs from that in a delta; bits count."""
    row, other = made.rows.get(user), held.rows.get(user)
    what = list[str]()
    if (row is None) != (other is None):
        what.append(f"the user's row is {'folded' if row else 'in the delta'} and not {'in it' if row else 'folded'}")
    elif row and other:
        if row.own.tobytes() != other.own.tobytes():
            apart = np.abs(row.own - other.own)
            what.append(f"own row, in {np.count_nonzero(apart)} of {len(apart)} numbers, by {apart.max():.2g} at most")
        for name in ("clicks", "last_event_time", "ring"):
            if getattr(row, name) != getattr(other, name):
                what.append(f"the row's {name.replace('_', ' ')}")
    if (user in made.changes.tombstones) != (user in held.tombstones):
        what.append("whether the row was let go")
    if made.changes.admission.get(user) != held.admission.get(user):
        what.append("clicks waiting for admission")
    if made.changes.common.tobytes() != held.common.tobytes():
        what.append("the common row")
    if made.changes.trend != held.trend:
        what.append("the trend counts")
    return what
