"""The producer of a round: a queue of planned records, sent while the workers run, never far ahead of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tests.torture.bench import Bench
from tests.torture.logs import Planned

AHEAD = 1_000  # so many records may wait for their shard: production is tied to progress, and not to a clock
BATCH = 150


class Feed:
    """Sends `planned` to `topic`; `sent` is what the topic was given, in order. Faults change what is `planned`."""

    def __init__(self, bench: Bench, topic: str, planned: Iterable[Planned]) -> None:
        self._bench, self._topic = bench, topic
        self.planned = deque(planned)
        self.sent: list[Planned] = []
        self.now = 0  # how far the log has come, in ms

    @property
    def done(self) -> bool:
        """Whether the whole log was sent."""
        return not self.planned

    def pump(self, committed: int) -> None:
        """Send the next batch, unless `AHEAD` records beyond the `committed` ones wait already."""
        if self.planned and len(self.sent) < committed + AHEAD:
            self.send([self.planned.popleft() for _ in range(min(BATCH, len(self.planned)))])

    def send(self, records: list[Planned]) -> None:
        """Send records now."""
        self._bench.send(self._topic, records)
        self.sent += records
        self.now = max([self.now, *(record.time for record in records)])

    def upcoming(self, count: int) -> list[Planned]:
        """Take the next `count` planned records out of the queue; put them back with `put_first`."""
        return [self.planned.popleft() for _ in range(min(count, len(self.planned)))]

    def put_first(self, records: Iterable[Planned]) -> None:
        """Have these records sent next."""
        self.planned.extendleft(reversed(list(records)))
