"""What has been collected since the last rotation, and the shard that it becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from contracts import sample_encoding, shards
from contracts.events import Stage
from contracts.sample_columns import Columns
from contracts.shards import DeadLetter, Shard
from contracts.state_db import Changes
from streams.join import JoinedClick


@dataclass(frozen=True)
class ClosedShard:
    """A complete shard: the body and data files of its manifest, and the joiner's changes that belong to it.

    `samples`: what the files hold of them, by column.
    """

    body: Shard
    samples: Columns
    files: dict[str, bytes]
    changes: Sequence[Changes]


class OpenShard:
    """Joined clicks, dead letters and counts of the records from `first_offset` on.

    `ends_at`: the watermark (ms) at which it is complete. `bytes`: about what it holds in memory.
    """

    def __init__(self, first_offset: int, first_ordinal: int, ends_at: int) -> None:
        self.first_offset, self.first_ordinal, self.ends_at = first_offset, first_ordinal, ends_at
        self.joined: list[JoinedClick] = []
        self.dead_letters: list[DeadLetter] = []
        self.read: Counter[str] = Counter()
        self.bytes = 0

    @property
    def next_ordinal(self) -> int:
        """The ordinal of the sample after the last one."""
        return self.first_ordinal + len(self.joined)

    def emitted(self) -> dict[str, int]:
        """Return the samples by how they were joined."""
        return dict(sorted(Counter([one.joined for one in self.joined]).items()))

    def event_times(self) -> tuple[int, int]:
        """Return the earliest and the latest event time (ms); zeros where there is no sample."""
        times = [one.click.event_time for one in self.joined]
        return (min(times), max(times)) if times else (0, 0)

    def closed(self, body: Shard, changes: Sequence[Changes]) -> ClosedShard:
        """Return the shard with this body; one without samples and dead letters has no files."""
        files, samples = {}, self._columns(body.topic, body.partition)
        if self.joined:
            files[shards.SAMPLES] = sample_encoding.encode(samples)
        if self.dead_letters:
            files[shards.DEAD_LETTERS] = shards.encode_dead_letters(self.dead_letters)
        return ClosedShard(body, samples, files, changes)

    def _columns(self, topic: str, partition: int) -> Columns:
        count, clicks = len(self.joined), [one.click for one in self.joined]
        offers = [one.offer for one in self.joined]
        asked = any(offers)
        negatives = list(map(_negatives, self.joined)) if asked else [((), ())] * count
        return Columns(
            user_id=[click.user_id for click in clicks],
            item_id=[click.item_id for click in clicks],
            event_time=[click.event_time for click in clicks],
            context=[one.offer.context if one.offer else one.click.context for one in self.joined],
            hard_negatives=[items for items, _ in negatives],
            hard_negative_stages=[stages for _, stages in negatives],
            joined=[one.joined for one in self.joined],
            arm=[offer.arm if offer else "" for offer in offers] if asked else [""] * count,
            served_version=[offer.served_version if offer else 0 for offer in offers] if asked else [0] * count,
            watermark=[one.watermark for one in self.joined],
            ordinal=list(range(self.first_ordinal, self.next_ordinal)),
            source_topic=[topic] * count,
            source_partition=[partition] * count,
            source_offset=[one.offset for one in self.joined],
        )


def _negatives(one: JoinedClick) -> tuple[tuple[str, ...], tuple[Stage, ...]]:
    """Return what ranking rejected in the click's request, and where; never the item that was clicked."""
    if one.offer is None:
        return (), ()
    items, stages, clicked = one.offer.rejected, one.offer.stages, one.click.item_id
    if clicked not in items:
        return items, stages
    kept = [(item, stage) for item, stage in zip(items, stages, strict=True) if item != clicked]
    return tuple([item for item, _ in kept]), tuple([stage for _, stage in kept])
