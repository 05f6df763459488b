"""Rebase: today's samples are folded onto a new base until its branch may take over from its former's.

 1. announce: which base it is to follow: the one that is served, else its parent.
 2. verify: every file of it is what was written, and the shards hold what comes after its cut.
 3. begin to fold, from its cut, on its towers, items, trend counts and rings: by the very workers of `trainer online`,
    which score each block before they learn it, a delta per publish interval. No row of another base enters.
 4. score: once it has come as far as the shards and as its former's branch, compare what both found on the same clicks.
 5. decide: `ready`, and the publisher cuts over; or `refused`, and the former's branch goes on as if nothing had been.

Each step ends with one record, created exclusively (`contracts.rebases`), and begins by reading the newest one: killed
anywhere, the same command goes on there; of two that run at once the slower one follows the other's record. Nothing
here touches the former's branch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from contracts import deltas, rebases, recall, served, shards
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.crash import reach
from contracts.days import shown
from contracts.deltas import Delta
from contracts.errors import ChainTaken, Corrupt, LogChanged, LogLost, UsageError
from contracts.layout import Layout
from contracts.rebases import Rebase
from trainer.branches import Branches
from trainer.settings import TrainerSettings
from trainer.training_days import open_topic


@dataclass(frozen=True)
class Rebasing:
    """What a rebase works with. `progress` gets samples folded and the samples there were when it began."""

    layout: Layout
    base: OpenBase
    branches: Branches
    settings: TrainerSettings
    who: str
    progress: Callable[[int, int], None] = lambda done, total: None


def rebase(what: Rebasing) -> Entry[Rebase]:
    """Take a base as far as `ready` or `refused`, from wherever its record stands, and return the last record.

    Nothing is done where it is over already; `judge_again` opens it anew. Raises what `OnlineWorker` raises; the record
    stays where it is then.
    """
    steps = {None: _announce, "announced": _verify, "verified": _begin, "folding": _score, "scored": _decide}
    chain = rebases.chain(what.layout, what.base.manifest.base_id)
    while True:
        head = _head(what)
        if head and head.body.state in rebases.OVER:
            return head
        body = steps[head.body.state if head else None](what, head.body if head else _nothing(what.base))
        reach("rebase.record.before")
        try:
            chain.create(chain.prepare(head, body, {}))
        except ChainTaken:
            continue
        reach("rebase.record.after")


def judge_again(what: Rebasing, why: str) -> None:
    """Open a refused base's rebase anew, on record, so that it is verified, folded on, and judged by newer clicks.

    Raises `UsageError` for a base that is not refused, or that never was announced: the push gate's word stands.
    """
    head = _head(what)
    announced = head and head.number > 1
    if head is None or not announced or head.body.state != "refused":
        raise UsageError(
            f"base {what.base.manifest.base_id} was not refused by a rebase, so there is nothing to judge again",
            hint="`freshet trainer rebase --base ID` goes on with one that is under way.",
        )
    chain = rebases.chain(what.layout, what.base.manifest.base_id)
    chain.create(chain.prepare(head, msgspec.structs.replace(_announce(what, _nothing(what.base)), why=why), {}))


def announce(what: Rebasing) -> None:
    """Take step 1 alone, once: from then on `rebase` goes on by itself.

    A base that a push gate refused, and passes now, is announced as well.
    """
    head = _head(what)
    if head is None or (head.number == 1 and head.body.state == "refused"):
        chain = rebases.chain(what.layout, what.base.manifest.base_id)
        chain.create(chain.prepare(head, _announce(what, _nothing(what.base)), {}))


def refuse(layout: Layout, base: OpenBase, who: str, why: str) -> None:
    """Put on record that a base is not to be used, wherever its record stands; where it says so already, nothing.

    What is served stays served. The base is nobody's parent from now on, and no publish cuts over to it by itself.
    """
    head = rebases.head(layout, base)
    if head is None or head.body.state != "refused":
        before = head.body if head else _nothing(base)
        body = msgspec.structs.replace(before, state="refused", who=who, why=why, created_at=_now())
        chain = rebases.chain(layout, base.manifest.base_id)
        chain.create(chain.prepare(head, body, {}))


def _head(what: Rebasing) -> Entry[Rebase] | None:
    """Raises `Corrupt` where the record is of another base of the same name."""
    head = rebases.chain(what.layout, what.base.manifest.base_id).head()
    if head and head.body.base_digest != what.base.digest:
        raise Corrupt(f"the record of the rebase of {what.base.manifest.base_id}", "its base's digest")
    return head


def _announce(what: Rebasing, before: Rebase) -> Rebase:
    # Step 1: announce
    former = _former(what)
    said = f"to follow base {former.manifest.base_id}" if former else "to be the first one served"
    body = _moved(what, before, "announced", said)
    if former is None:
        return body
    return msgspec.structs.replace(body, former=former.manifest.base_id, former_digest=former.digest)


def _verify(what: Rebasing, before: Rebase) -> Rebase:
    # Step 2: verify
    try:
        what.base.verify()
        _check_log(what)
    except (Corrupt, LogChanged, LogLost) as error:
        return _moved(what, before, "refused", str(error))
    return _moved(what, before, "verified", "every file is what was written")


def _begin(what: Rebasing, before: Rebase) -> Rebase:
    # Step 3: begin to fold
    cut = shown(what.base.manifest.cut_watermark, what.base.manifest.day_zone)
    return _moved(what, before, "folding", f"from {cut} on")


def _score(what: Rebasing, before: Rebase) -> Rebase:
    # Step 4: score
    what.branches.hold([what.base])
    done, total = 0, _waiting(what)

    def committed(delta: Entry[Delta]) -> None:
        nonlocal done
        done += delta.body.samples
        what.progress(min(done, total), total)

    while what.branches.advance(committed=committed) and not _has_caught_up(what, before.former):
        pass
    reached = _reached(what.layout, what.base)  # an idle partition must not hide what the others found
    until = max(reached)
    since = max(what.base.manifest.cut_watermark, until - what.settings.night.judge_ms)
    body = _moved(what, before, "scored", f"on the clicks {_span(what.base, since, until)}")
    if not before.former:
        return msgspec.structs.replace(body, since=since, until=until)
    names = (before.former, what.base.manifest.base_id)
    both = recall.compared(what.layout, names, since, reached)
    figures = {"clicks": both.clicks, "hits": both.hits, "former_hits": both.former_hits, "k": both.k}
    return msgspec.structs.replace(body, since=since, until=until, **figures)


def _decide(what: Rebasing, before: Rebase) -> Rebase:
    # Step 5: decide
    needed = what.settings.night.judge_clicks
    if not before.former:
        return _moved(what, before, "ready", "no base was served before")
    if before.clicks < needed:
        few = f"{before.clicks} clicks were scored by both, {needed} are needed to judge: nothing speaks against it"
        return _moved(what, before, "ready", few)
    found, former = (hits / before.clicks for hits in (before.hits, before.former_hits))
    said = f"recall@{before.k} {found:.4f}, base {before.former} {former:.4f}, over {before.clicks} clicks"
    worse = recall.is_worse(before.hits, before.former_hits)
    return _moved(what, before, "refused" if worse else "ready", said)


def _former(what: Rebasing) -> OpenBase | None:
    """Return the base that is served of this topic, else the parent; never the base itself, nor one that is gone."""
    store, manifest = BaseStore(what.layout), what.base.manifest
    head, there = served.head(what.layout), store.ids()
    for name in (head.body.base_id if head else "", manifest.parent):
        if name in there and name != manifest.base_id and (base := store.open(name)).manifest.topic == manifest.topic:
            return base
    return None


def _check_log(what: Rebasing) -> None:
    """Raises `LogChanged` or `LogLost` where the shards are not those that the base was cut from."""
    manifest = what.base.manifest
    topic = open_topic(what.layout, manifest.topic)
    if (topic.topic_id, len(topic.chains)) != (manifest.topic_id, manifest.partitions):
        raise LogChanged(f"the shards of topic {manifest.topic!r} come from another log than base {manifest.base_id}")
    for partition, (chain, cut) in enumerate(zip(topic.chains, manifest.cut, strict=True)):
        head = chain.head()
        if head is None or head.body.next_ordinal < cut:
            raise LogLost(
                f"the shards of partition {partition} end before the cut of base {manifest.base_id}, at {cut}"
            )


def _waiting(what: Rebasing) -> int:
    """Return how many samples the shards hold that the branch has not learned yet."""
    manifest, waiting = what.base.manifest, 0
    for partition in range(manifest.partitions):
        branch = deltas.chain(what.layout, manifest.base_id, partition).head()
        head = shards.chain(what.layout, manifest.topic, partition).head()
        at = branch.body.next_ordinal if branch else manifest.cut[partition]
        waiting += max(head.body.next_ordinal - at, 0) if head else 0
    return waiting


def _has_caught_up(what: Rebasing, former: str) -> bool:
    """Whether every partition has come as far as its shards have whole intervals, and as its former's branch."""
    manifest, interval = what.base.manifest, what.settings.publish_interval_ms
    for partition, reached in enumerate(_reached(what.layout, what.base)):
        ends = [shards.chain(what.layout, manifest.topic, partition).head()]
        log = max((end.body.watermark // interval * interval for end in ends if end), default=0)
        branch = deltas.chain(what.layout, former, partition).head() if former else None
        if reached < max(log, branch.body.watermark if branch else 0):
            return False
    return True


def _reached(layout: Layout, base: OpenBase) -> list[int]:
    """Return how far (ms of watermark) the branch of each partition has come."""
    manifest = base.manifest
    heads = [deltas.chain(layout, manifest.base_id, partition).head() for partition in range(manifest.partitions)]
    return [head.body.watermark if head else manifest.cut_watermark for head in heads]


def _span(base: OpenBase, since: int, until: int) -> str:
    zone = base.manifest.day_zone
    return f"from {shown(since, zone)} to {shown(until, zone)}"


def _nothing(base: OpenBase) -> Rebase:
    """What the first record of a base is made of; whoever writes it says state, who, why and when."""
    return Rebase(base.manifest.base_id, base.digest, "announced", "", "", 0, 0, 0, 0, 0, 0, "", "", 0)


def _moved(what: Rebasing, before: Rebase, state: rebases.State, why: str) -> Rebase:
    return msgspec.structs.replace(before, state=state, why=why, who=what.who, created_at=_now())


def _now() -> int:
    return time.time_ns() // 1_000_000
