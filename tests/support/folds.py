"""Folding a log of one partition without a file: what a commit would write to the state DB goes into a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contracts.state_db import Changes, KeyRange
from streams.join import Joiner, Windows
from streams.open_shard import ClosedShard
from streams.pipeline import Pipeline, Rotation
from streams.records import Record
from tests.support.logs import ONE_PARTITION


class MemoryDisk:
    """Where a joiner reads again what was committed."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, None where absent."""
        return [self.entries.get(key) for key in keys]

    def write(self, *batches: Changes) -> None:
        """Apply the changes in order."""
        for changes in batches:
            for key, value in changes.items():
                if value is not None:
                    self.entries[key] = value
                elif isinstance(key, KeyRange):
                    self.entries = {k: v for k, v in self.entries.items() if not key.first <= k < key.end}
                else:
                    self.entries.pop(key, None)


def closed_shards(
    log: Sequence[Record], windows: Windows, rotation: Rotation, chunk: int = 5000
) -> Iterator[ClosedShard]:
    """Yield the shards that become complete when a log is fed in chunks; each is committed before the next one."""
    disk = MemoryDisk()
    pipeline = Pipeline.cold(ONE_PARTITION, 0, Joiner(windows, disk), rotation, None)
    for at in range(0, len(log), chunk):
        for closed in pipeline.process(log[at : at + chunk]):
            disk.write(*closed.changes)
            yield closed
