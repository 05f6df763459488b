"""What has been collected since the last rotation, and the shard that it becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from contracts import sample_encoding, shards
from contracts.events import Rejected
from contracts.sample_columns import Columns
from contracts.shards import DeadLetter, Shard
from contracts.state_db import KeyRange
from streams.join import JoinedClick, KnownRequest

NEVER = 1 << 62


@dataclass(frozen=True)
class ClosedShard:
    """A complete shard: the body and data files of its manifest, and the joiner's changes that belong to it."""

    body: Shard
    files: dict[str, bytes]
    changes: Mapping[bytes | KeyRange, bytes | None]


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

    def files(self, topic: str, partition: int) -> dict[str, bytes]:
        """Return the data files; a shard without samples and dead letters has none."""
        files = {}
        if self.joined:
            files[shards.SAMPLES] = sample_encoding.encode(self._columns(topic, partition))
        if self.dead_letters:
            files[shards.DEAD_LETTERS] = shards.encode_dead_letters(self.dead_letters)
        return files

    def _columns(self, topic: str, partition: int) -> Columns:
        clicks, requests = [one.click for one in self.joined], [one.request for one in self.joined]
        asked = list(zip(clicks, requests, strict=True))
        return Columns(
            user_id=[click.user_id for click in clicks],
            item_id=[click.item_id for click in clicks],
            event_time=[click.event_time for click in clicks],
            context=[request.context if request else click.context for click, request in asked],
            hard_negatives=[_negatives(request, click.item_id) if request else () for click, request in asked],
            joined=[one.joined for one in self.joined],
            arm=[request.arm if request else "" for request in requests],
            served_version=[request.served_version if request else 0 for request in requests],
            watermark=[one.watermark for one in self.joined],
            ordinal=list(range(self.first_ordinal, self.next_ordinal)),
            source_topic=[topic] * len(clicks),
            source_partition=[partition] * len(clicks),
            source_offset=[one.offset for one in self.joined],
        )


def _negatives(request: KnownRequest, clicked: str) -> tuple[Rejected, ...]:
    return tuple([item for item in request.rejected if item.item_id != clicked])
