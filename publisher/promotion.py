"""Promotion: what makes a base and its deltas visible to readers. The order of the steps is the guarantee."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from contracts import served
from contracts.bases import ITEM_TOWER, USER_TOWER, OpenBase
from contracts.catalogue import FRESH, Catalogue, pack_fresh
from contracts.chain import DataFile, Entry
from contracts.crash import reach
from contracts.errors import ChainBroken, ChainTaken, Corrupt, PublishRefused, UnknownSchema, UsageError
from contracts.layout import Layout
from contracts.served import Gate, Refused, Served
from publisher import candidate, gates, item_index
from publisher.candidate import Candidate
from publisher.fresh_items import fresh_items
from publisher.item_index import ItemIndex
from publisher.settings import PublisherSettings


@dataclass(frozen=True)
class Order:
    """Who publishes, why, and what.

    `base_id` None: the base that is served, before the first publish the newest. `until` (ms of watermark) None: all
    deltas; else only those that reach no further, which is how a past day is published as it would have been. `force`:
    what the limits refuse is shown all the same; it needs a `why`. `catalogue`: items of today, and until when items
    may be shown; None: what the base's former version said of them.
    """

    who: str
    why: str
    base_id: str | None = None
    until: int | None = None
    force: bool = False
    catalogue: Catalogue | None = None


def publish_once(layout: Layout, settings: PublisherSettings, order: Order) -> Entry[Served] | None:
    """Show readers everything that is new. Returns the new manifest, None when there is nothing new (law 7).

    1. stage the base's items in a Milvus collection of their own, unless an earlier version verified them there. All
       numbers of the base are checked before.
    2. read them back and compare bit for bit.
    3. gates over every delta that would be shown for the first time. What they refuse goes on record, once.
    4. create the next served manifest exclusively: readers see the new version, whole, or the old one.
    5. retire by age: nothing is deleted by this version.

    What a crash leaves: before 4 the old version stays served, and a collection that is partly staged (the next attempt
    drops it) or whole (the next attempt finds it so); after 4 the new version is served. When another publisher creates
    the manifest first, everything is decided anew on top of it.

    Raises `PublishRefused` with the verdicts of the gates, `MissingInput`, `MissingServer`, or `Corrupt` for a damaged
    base.
    """
    if order.force and not order.why:
        raise UsageError("a version is not forced without a reason", hint="Say it with --why; it goes on record.")
    while True:
        found = _find(layout, order)
        try:
            return _promote(layout, settings, found, order)
        except ChainTaken:
            continue


def _promote(layout: Layout, settings: PublisherSettings, found: Candidate, order: Order) -> Entry[Served] | None:
    reach("publish.promote.0")
    uri, name = settings.store_uri(layout), item_index.collection_name(found.base)
    verified_before = found.former is not None and name in found.former.collections
    if not verified_before or item_index.lost(uri, name):
        found.base.verify()
        gates.require((gates.of_base(found.base),), found.base.manifest.base_id)
        vectors = item_index.vectors_of(found.base)
        with ItemIndex(uri, settings) as index:
            # Step 1: stage
            index.stage(name, vectors)
            reach("publish.promote.1")
            # Step 2: read back
            index.verify(name, vectors)
            reach("publish.promote.2")
    catalogue = _catalogue(found, order)
    if not found.is_new and catalogue == (found.former.catalogue if found.former else ""):
        return None
    # Step 3: gates
    verdicts = gates.check(found, settings.limits, _now())
    try:
        gates.require(verdicts, found.base.manifest.base_id, order.force)
    except PublishRefused:
        _put_on_record(layout, found, verdicts, order)
        raise
    reach("publish.promote.3")
    # Step 4: the commit
    chain = served.chain(layout)
    files, kept = _items(found, order.catalogue, catalogue)
    entry = chain.prepare(found.head, _manifest(found, name, verdicts, order), files, kept)
    chain.create(entry)
    reach("publish.promote.4")
    return entry


def _find(layout: Layout, order: Order) -> Candidate:
    try:
        return candidate.find(layout, order.base_id, order.until)
    except (Corrupt, ChainBroken, UnknownSchema) as error:
        raise PublishRefused(f"nothing was published: {error}", hint=error.hint) from error


def _manifest(found: Candidate, collection: str, verdicts: tuple[Gate, ...], order: Order) -> Served:
    base = found.base
    positions = tuple(advance.position for advance in found.advances)
    first, last = found.span()
    return Served(
        base_id=base.manifest.base_id,
        base_digest=base.digest,
        user_tower_sha256=_sha256(base, USER_TOWER),
        item_tower_sha256=_sha256(base, ITEM_TOWER),
        collections=(collection,),
        positions=positions,
        holds=found.former.holds if found.former else (),
        trend_time=max(base.manifest.cut_watermark, *(position.watermark for position in positions)),
        first_event_time=first,
        last_event_time=last,
        gates=verdicts,
        action="cut_over" if found.is_cut_over else "publish",
        content_of=found.number,
        who=order.who,
        why=order.why,
        created_at=_now(),
        catalogue=_catalogue(found, order),
    )


def _catalogue(found: Candidate, order: Order) -> str:
    """Return the digest of the catalogue that the version would carry."""
    return order.catalogue.digest if order.catalogue else found.former.catalogue if found.former else ""


def _items(found: Candidate, catalogue: Catalogue | None, digest: str) -> tuple[dict[str, bytes], tuple[DataFile, ...]]:
    """Return the data file of the version's fresh items: new ones, or those of the former version if they are the same.

    Raises `PublishRefused` where the base's item tower gives no usable vectors.
    """
    if not catalogue or (found.former and found.former.catalogue == digest):
        return {}, found.files
    try:
        return {FRESH: pack_fresh(fresh_items(found.base, catalogue))}, ()
    except Corrupt as error:
        raise PublishRefused(f"base {found.base.manifest.base_id} was not published: items: {error}") from error


def _put_on_record(layout: Layout, found: Candidate, verdicts: tuple[Gate, ...], order: Order) -> None:
    """Add the refusal to its chain, unless the newest one says the same of the same content."""
    chain, positions = served.refused(layout), tuple(advance.position for advance in found.advances)
    base, newest = found.base, chain.head()
    body = Refused(found.number, base.manifest.base_id, base.digest, positions, verdicts, order.who, order.why, _now())
    if newest and _said(newest.body) == _said(body):
        return
    with suppress(ChainTaken):  # another publisher refuses as well
        chain.create(chain.prepare(newest, body, {}))


def _said(refusal: Refused) -> tuple[object, ...]:
    against = [gate.name for gate in gates.failed(refusal.gates)]
    return refusal.number, refusal.base_digest, refusal.positions, against


def _now() -> int:
    return int(time.time() * 1000)


def _sha256(base: OpenBase, name: str) -> str:
    """Return the digest of a tower; empty for one that the base does not have."""
    return next((file.sha256 for file in base.manifest.files if file.name == name), "")
