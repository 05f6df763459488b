"""Faust at the speed of its fetcher: one pseudo-record per chunk of a partition instead of one per record.

`ConsumerScheduler` is a documented setting of Faust, and a schema may decide how a value is decoded; together they
hand the list of records of a chunk to a plain agent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import faust
from faust.events import Event
from faust.types import TP
from faust.types.transports import SchedulingStrategyT

CHUNK = 4096


class Chunk(NamedTuple):
    """A pseudo-record: the attributes of aiokafka's ConsumerRecord, of the last record; `value` is the list of all.

    The sizes are 0: Faust hands them on, and nobody asks for them.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    headers: tuple[Any, ...]
    key: None
    value: list[Any]
    checksum: None
    serialized_key_size: int
    serialized_value_size: int


class ChunkScheduler(SchedulingStrategyT):
    """Hands out the fetched records in chunks, round-robin over the partitions."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Chunk]]:
        """Yield a chunk of each partition in turn until all are handed out."""
        waiting = deque((tp, fetched, 0) for tp, fetched in records.items() if fetched)
        while waiting:
            tp, fetched, at = waiting.popleft()
            yield tp, _chunk(tp, fetched[at : at + CHUNK])
            if at + CHUNK < len(fetched):
                waiting.append((tp, fetched, at + CHUNK))


class ChunkSchema(faust.Schema[bytes, bytes]):
    """Passes a chunk through undecoded: decoding is the pipeline's."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return the decoder that Faust calls once a chunk."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return Event(app, message.key, message.value, message.headers or {}, message)

        return decode


def _chunk(tp: TP, records: list[Any]) -> Chunk:
    last = records[-1]
    return Chunk(
        tp.topic, tp.partition, last.offset, last.timestamp, last.timestamp_type, (), None, records, None, 0, 0
    )
