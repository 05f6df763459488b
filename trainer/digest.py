"""The digest of an online state, from the base and the chain of deltas alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from contracts import deltas
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.deltas import Changes, Delta
from contracts.layout import Layout


def overlay(layout: Layout, base: OpenBase, partition: int) -> tuple[Changes | None, Entry[Delta] | None]:
    """Return everything that the chain of (base, partition) changed, exact bytes, and its head; None for no deltas.

    Raises `WrongParent`, `Corrupt`, `ChainBroken`.
    """
    chain = deltas.chain(layout, base.manifest.base_id, partition)
    before: Entry[Delta] | None = None

    def in_order() -> Iterator[Changes]:
        nonlocal before
        for entry in chain.entries():
            deltas.check_follows(entry, base.digest, before, base.manifest.cut[partition])
            before = entry
            yield deltas.read(chain, entry)

    return deltas.compacted(in_order()), before


def online_digest(layout: Layout, base: OpenBase, partition: int) -> str:
    """SHA-256 over base, position and the exact bytes of all rows and counts: equal states, equal digests."""
    found, head = overlay(layout, base, partition)
    changes = found or Changes(base.common, 0)
    reached = (head.body.next_ordinal, head.body.watermark) if head else (base.manifest.cut[partition], -1)
    hashed = hashlib.sha256(msgspec.json.encode((base.digest, partition, reached)))
    hashed.update(deltas.encode(changes, base.manifest.towers.width))
    return hashed.hexdigest()
