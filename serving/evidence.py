"""What a user's row rests on: for each delta that changed it, the samples and the log records that it may come from."""

from __future__ import annotations

import msgspec

from contracts import deltas, shards
from contracts.bases import OpenBase
from contracts.errors import ChainBroken
from contracts.layout import Layout
from contracts.shards import ShardChain
from serving.user_view import User

UNKNOWN = -1


class Origin(msgspec.Struct, frozen=True):
    """One delta that changed the row: it learned samples [first_ordinal, next_ordinal) of the user's partition.

    They were made of records [first_offset, next_offset) of that partition of the topic, or of earlier ones that they
    waited for; -1 where the shards are no longer here. `watermark`: how far the log was read (ms).
    """

    delta: int
    first_ordinal: int
    next_ordinal: int
    first_offset: int
    next_offset: int
    watermark: int


def origins(layout: Layout, base: OpenBase, user: User) -> list[Origin]:
    """Return where the row of a user comes from, oldest first. Raises `Corrupt`, `ChainBroken` naming a delta."""
    manifest = base.manifest
    chain = deltas.chain(layout, manifest.base_id, user.partition)
    log = shards.chain(layout, manifest.topic, user.partition)
    found = []
    for number in user.deltas:
        body = chain.read(number).body
        first, following = _offsets(log, body.first_ordinal, body.next_ordinal)
        found.append(Origin(number, body.first_ordinal, body.next_ordinal, first, following, body.watermark))
    return found


def _offsets(log: ShardChain, first_ordinal: int, next_ordinal: int) -> tuple[int, int]:
    """Return the records that the shards of these samples cover."""
    first = following = UNKNOWN
    try:
        for entry in shards.entries_from(log, first_ordinal):
            if first == UNKNOWN:
                first = entry.body.first_offset
            following = entry.body.next_offset
            if entry.body.next_ordinal >= next_ordinal:
                break
    except ChainBroken:
        return UNKNOWN, UNKNOWN
    return first, following
