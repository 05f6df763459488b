"""Why a user is answered as they are: the clicks that made their row, and what changed in their answer.

No record is kept for it. Everything behind the log is a view that can be rebuilt, so the partition is folded again from
the base's cut, as the online worker does, and compared bit for bit with the deltas that there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import msgspec
import numpy as np

from contracts import deltas, served, shards, trend
from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.days import shown
from contracts.errors import MissingInput, UsageError
from contracts.partitions import partition_of
from contracts.rows import Row, mean_common
from contracts.samples import Sample
from trainer.explain_answer import Ranker, Standing, changed
from trainer.explain_block import UserBlock
from trainer.explain_fold import Route, Watched, watch
from trainer.explanation import PENDING, Answer, Click, Explanation, RowFacts
from trainer.online import NEVER

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Question:
    """Who is explained on which base, up to which watermark (ms, None: the newest delta), with how many items (`k`) and
    clicks (`last`); `interval_ms`: of boundaries, where there is no delta yet."""

    base: OpenBase
    user: str
    until: int | None
    k: int
    last: int
    interval_ms: int


def explain(question: Question, progress: Progress) -> Explanation:
    """Fold the user's partition and explain. Raises `MissingInput` for a user of whom nothing is known, `UsageError`
    for a time before the base, and whatever the readers of shards and deltas raise.
    """
    base, user, manifest = question.base, question.user, question.base.manifest
    if question.until is not None and question.until < manifest.cut_watermark:
        raise UsageError(
            f"base {manifest.base_id} was cut at {shown(manifest.cut_watermark, manifest.day_zone)}, after --until",
            hint="Name a later time, or an older base with --base.",
        )
    route = _route(question)
    head = shards.chain(base.layout, manifest.topic, route.partition).head()
    start, end = manifest.cut[route.partition], head.body.next_ordinal if head else 0
    what = f"samples of partition {route.partition}"
    seen = watch(route, lambda reached: progress(what, reached - start, max(end - start, reached - start)))
    if user not in base.rows and not seen.blocks and not seen.waiting:
        raise _unknown(question, route.partition, seen)
    return _explanation(question, route, seen, _answer(question, route, seen, progress))


def _route(question: Question) -> Route:
    """Return the way along the deltas there are; where there is none, along the boundaries that a worker would meet."""
    base, manifest = question.base, question.base.manifest
    partition = partition_of(question.user, manifest.partitions)
    until = NEVER if question.until is None else question.until
    chain = deltas.chain(base.layout, manifest.base_id, partition)
    entries = list(takewhile(lambda entry: entry.body.watermark <= until, chain.entries()))
    boundaries = [entry.body.watermark for entry in entries]
    if not chain.head_number() and (head := shards.chain(base.layout, manifest.topic, partition).head()):
        interval = question.interval_ms
        first = (manifest.cut_watermark // interval + 1) * interval
        boundaries = list(range(first, min(head.body.watermark, until) + 1, interval))
    return Route(base, partition, question.user, boundaries, entries, until)


def _unknown(question: Question, partition: int, seen: Watched) -> MissingInput:
    manifest = question.base.manifest
    return MissingInput(
        f"nothing is known of user {question.user!r}: base {manifest.base_id} has no row of them, and samples "
        f"{manifest.cut[partition]} to {seen.seen} of partition {partition} of topic {manifest.topic!r} no click",
        hint="Ids count letter by letter. A click counts once it is in a shard (`freshet streams inspect`); until then "
        "the user is answered by the common row. For another log or night: --topic, --base, --root.",
    )


def _answer(question: Question, route: Route, seen: Watched, progress: Progress) -> Answer:
    """Return the answer at the boundary reached, with the other partitions as their deltas until then have them."""
    base, manifest = question.base, question.base.manifest
    others = dict[int, Watched]()
    wanted = [number for number in range(manifest.partitions) if number != route.partition]
    for done, number in enumerate(wanted, start=1):
        others[number] = _of_deltas(base, number, seen.boundary)
        progress("deltas of the other partitions", done, len(wanted))
    everybody = [others.get(number, seen) for number in range(manifest.partitions)]
    nothing = np.zeros(manifest.towers.width, np.float32)
    before, common = base.rows.get(question.user), seen.common
    if seen.row is None:
        common = mean_common([p.common for p in everybody], [p.common_samples for p in everybody], base.common)
    ranker = Ranker(base)
    counts = trend.merged([base.trend, *(each.trend for each in everybody)])
    night = Standing(base.common, nothing, ranker.trend(base.trend, manifest.cut_watermark), frozenset())
    now = Standing(common, nothing, ranker.trend(counts, seen.boundary), frozenset())
    return changed(ranker, _with(night, before), _with(now, seen.row), question.k)


def _with(standing: Standing, row: Row | None) -> Standing:
    return Standing(standing.common, row.own, standing.trend, frozenset(row.ring)) if row else standing


def _of_deltas(base: OpenBase, partition: int, boundary: int) -> Watched:
    """Return common row and trend counts of a partition as its deltas up to `boundary` (ms) have them."""
    manifest, chain = base.manifest, deltas.chain(base.layout, base.manifest.base_id, partition)
    found = Watched(None, base.common, manifest.cut_watermark, 0, 0)
    for entry in takewhile(lambda entry: entry.body.watermark <= boundary, chain.entries()):
        content = deltas.read_content(chain, entry)
        found.trend.update(content.trend)
        found.common, found.common_samples = content.common, content.common_samples
    return found


def _explanation(question: Question, route: Route, seen: Watched, answer: Answer) -> Explanation:
    base, manifest = question.base, question.base.manifest
    before, after = base.rows.get(question.user), seen.row
    nothing = np.zeros(manifest.towers.width, np.float32)
    own, own_before = after.own if after else nothing, before.own if before else nothing
    outcomes = Counter(outcome for _, block in seen.blocks for outcome, _ in block.outcomes)
    if seen.waiting:
        outcomes[PENDING] = len(seen.waiting)
    last_block = seen.blocks[-1][1] if seen.blocks and not seen.row else None
    return Explanation(
        user_id=question.user,
        base_id=manifest.base_id,
        served_base=head.body.base_id if (head := served.head(base.layout)) else "",
        topic=manifest.topic,
        partition=route.partition,
        day_zone=manifest.day_zone,
        first_ordinal=manifest.cut[route.partition],
        next_ordinal=seen.next_ordinal,
        seen_ordinal=seen.seen,
        cut_watermark=manifest.cut_watermark,
        watermark=seen.boundary,
        delta=seen.delta if route.entries else 0,
        differs=seen.differs,
        base_row=_facts(before),
        row=_facts(after),
        moved=float(np.linalg.norm(own - own_before)),
        cosine=_cosine(own, own_before),
        common_moved=float(np.linalg.norm(seen.common - base.common)),
        own_step=manifest.online.own_step,
        admit_after=manifest.online.admit_after,
        waiting_clicks=last_block.clicks_waiting if last_block else 0,
        expired=seen.expired,
        outcomes=dict(outcomes),
        clicks=list(_clicks(question, route, seen)),
        answer=answer,
    )


def _facts(row: Row | None) -> RowFacts | None:
    return RowFacts(row.clicks, row.last_event_time, float(np.linalg.norm(row.own)), row.ring) if row else None


def _clicks(question: Question, route: Route, seen: Watched) -> Iterator[Click]:
    """Yield the last clicks, in the order of the log; only the shards that hold them are read again."""
    found: list[tuple[int, tuple[int, UserBlock, int] | None]] = [
        (ordinal, (delta, block, n)) for delta, block in seen.blocks for n, ordinal in enumerate(block.ordinals)
    ]
    found += [(ordinal, None) for ordinal in seen.waiting]
    found = found[-question.last :]
    samples = _samples(question.base, route.partition, [ordinal for ordinal, _ in found])
    for ordinal, folded in found:
        if folded is None:
            yield _click(samples[ordinal], PENDING)
            continue
        delta, block, n = folded
        yield _folded(_click(samples[ordinal], block.outcomes[n][0]), delta if route.entries else 0, block, n)


def _samples(base: OpenBase, partition: int, ordinals: Sequence[int]) -> dict[int, Sample]:
    """Return the samples of ascending ordinals; a shard that holds several is read once."""
    chain, found = shards.chain(base.layout, base.manifest.topic, partition), dict[int, Sample]()
    for ordinal in ordinals:
        if ordinal not in found:
            entry = next(shards.entries_from(chain, ordinal))
            found |= {sample.ordinal: sample for sample in shards.read_samples(chain, entry)}
    return found


def _click(sample: Sample, outcome: str) -> Click:
    source = sample.source
    return Click(
        ordinal=sample.ordinal,
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        event_time=sample.event_time,
        watermark=sample.watermark,
        item_id=sample.item_id,
        joined=sample.joined,
        arm=sample.arm,
        served_version=sample.served_version,
        outcome=outcome,
    )


def _folded(click: Click, delta: int, block: UserBlock, n: int) -> Click:
    """Return the n-th click of a block with what became of it."""
    part = block.parts[n]
    return msgspec.structs.replace(
        click,
        reason=block.outcomes[n][1],
        delta=delta,
        block=block.first_ordinal,
        block_clicks=len(block.ordinals),
        block_moved=float(np.linalg.norm(block.after - block.before)),
        capped=block.capped,
        admitted=block.admitted,
        moved=float(np.linalg.norm(part)),
        cosine=_cosine(part, block.vectors[n]),
        fit=block.fits[n],
    )


def _cosine(one: Floats, other: Floats) -> float | None:
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else None
