"""What a user's row rests on: for each delta that changed it, the samples and the log records that it may come from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from contracts import deltas, served, shards
from contracts.bases import OpenBase
from contracts.deltas import DeltaChain
from contracts.errors import ChainBroken
from contracts.layout import Layout
from contracts.served import Served
from contracts.shards import ShardChain
from serving.user_view import User

UNKNOWN, MOST = -1, 100


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


def origins(layout: Layout, base: OpenBase, user: User, shown: Served) -> list[Origin]:
    """Return where the row of a user comes from, oldest first: the newest `MOST` of the deltas that changed it.

    They are searched for it, so this costs what they hold. Raises `Corrupt`, `ChainBroken` naming a delta.
    """
    manifest = base.manifest
    chain = deltas.chain(layout, manifest.base_id, user.partition)
    log = shards.chain(layout, manifest.topic, user.partition)
    found = []
    for number in sorted(_changing(chain, user, shown)):
        body = chain.read(number).body
        first, following = _offsets(log, body.first_ordinal, body.next_ordinal)
        found.append(Origin(number, body.first_ordinal, body.next_ordinal, first, following, body.watermark))
    return found


def _changing(chain: DeltaChain, user: User, shown: Served) -> Iterator[int]:
    """Yield the numbers of the deltas that `shown` shows and that have a row of the user, the newest first."""
    numbers = [number for number in served.included(shown, user.partition) if number <= user.delta]
    changing = (
        n for n in reversed(numbers) if deltas.read_content(chain, chain.read(n)).rows.position(user.user_id) >= 0
    )
    return islice(changing, MOST)


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
