"""Retention: which bases no rollback may need any more, and how they go.

What goes with a base: its folder, its deltas, the trainer's cache of it, the record of its rebase, and its collection.
Served manifests stay for good: they are small, and a chain has no gaps.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from contracts import durable, rebases, served
from contracts.bases import BaseStore, OpenBase
from contracts.crash import reach
from contracts.errors import NothingServed
from contracts.layout import Layout
from publisher import item_index
from publisher.item_index import ItemIndex
from publisher.settings import PublisherSettings


@dataclass(frozen=True)
class Keep:
    """What a rollback may need: the newest `versions`, those younger than `days` at `now` (ms), the `named` ones."""

    versions: int
    days: float
    now: int
    named: Collection[int] = ()


@dataclass(frozen=True)
class Kept:
    """A base that stays, and why."""

    base_id: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What stays and what goes; `size`: bytes on disk of what goes, without Milvus."""

    kept: tuple[Kept, ...]
    gone: tuple[OpenBase, ...]
    size: int


def plan(layout: Layout, keep: Keep) -> Plan:
    """Decide what may go. Raises `NothingServed`: before the first publish nothing may."""
    chain = served.chain(layout)
    head = chain.head()
    if head is None:
        raise NothingServed("nothing is served yet", hint="Publish first: `freshet publish once`.")
    why: dict[str, str] = {head.body.base_id: "it is served"}
    since = keep.now - int(keep.days * 86_400_000)
    for number in range(head.number, 0, -1):
        body = chain.read(number).body
        if number in keep.named:
            why.setdefault(body.base_id, f"version {number} was named")
        elif number > head.number - keep.versions:
            why.setdefault(body.base_id, f"version {number} is among the newest {keep.versions}")
        elif body.created_at >= since:
            why.setdefault(body.base_id, f"version {number} is younger than {keep.days:g} days")
    store = BaseStore(layout)
    bases = [store.open(base_id) for base_id in store.ids()]
    cut = next((b.manifest.cut_watermark for b in bases if b.manifest.base_id == head.body.base_id), 0)
    for base in bases:
        if base.manifest.cut_watermark >= cut:
            why.setdefault(
                base.manifest.base_id, "it is not older than the served one: the next retrain goes on from it"
            )
    for base in rebases.not_refused(layout)[-1:]:
        why.setdefault(base.manifest.base_id, "it is the newest that was not refused: the next retrain goes on from it")
    gone = tuple(base for base in bases if base.manifest.base_id not in why)
    size = sum(_size(path) for base in gone for path in _folders(layout, base.manifest.base_id))
    return Plan(tuple(Kept(base_id, reason) for base_id, reason in sorted(why.items())), gone, size)


def retire(layout: Layout, settings: PublisherSettings, keep: Keep) -> Plan:
    """Delete what may go, and return what was.

    1. rename the base's folder to a hidden one: from now on nobody can open it, and a rollback to it says so.
    2. look at the served chain again: a base that is needed by now is given its name back.
    3. drop its collection, delete its deltas, the trainer's cache and the record of its rebase.
    4. delete the hidden folder.

    A crash between any two leaves a hidden folder, with which the next call goes on at 3. Raises `MissingServer` where
    the vector store is away: then nothing of that base but its name is gone yet.
    """
    for path in sorted(layout.bases().glob(".*.retired")):
        _finish(layout, settings, path)
    decided = plan(layout, keep)
    for base in decided.gone:
        base_id = base.manifest.base_id
        hidden = layout.retired_base(base_id, secrets.token_hex(6))
        # Step 1: hide
        layout.base(base_id).rename(hidden)
        durable.fsync_directory(layout.bases())
        reach("publish.retire.1")
        # Step 2: look again
        if base_id in {kept.base_id for kept in plan(layout, keep).kept}:
            hidden.rename(layout.base(base_id))
            durable.fsync_directory(layout.bases())
            continue
        reach("publish.retire.2")
        _finish(layout, settings, hidden)
    return decided


def _finish(layout: Layout, settings: PublisherSettings, hidden: Path) -> None:
    try:
        base = BaseStore(layout).open_at(hidden)
    except FileNotFoundError:  # step 4 was begun
        shutil.rmtree(hidden, ignore_errors=True)
        return
    uri = settings.store_uri(layout)
    # Step 3: what goes with it
    with ItemIndex(uri, settings) as index:
        index.drop(item_index.collection_name(base))
    for path in _folders(layout, base.manifest.base_id)[1:]:
        shutil.rmtree(path, ignore_errors=True)
    reach("publish.retire.3")
    # Step 4: the folder
    shutil.rmtree(hidden, ignore_errors=True)


def _folders(layout: Layout, base_id: str) -> list[Path]:
    """Return the folders that go with a base, its own first."""
    deltas, cache = layout.deltas(base_id, 0).parent, layout.trainer_state(base_id, 0).parent
    return [layout.base(base_id), deltas, cache, layout.rebase(base_id)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
