"""The owner of one partition: recovers its chain, feeds its pipeline, commits its shards.

The commit is `contracts.commit`; this adds what is special to shards: where the log has to be read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from contracts import commit, shards
from contracts.errors import ChainTaken, LogChanged, LogLost
from contracts.layout import Layout
from contracts.shards import Shard, ShardChain
from contracts.state_db import StateDB
from streams.join import Joiner, Windows
from streams.pipeline import MARKS, ClosedShard, Pipeline, Record, Rotation, Start, Topic


class PartitionWriter:
    """One assignment of one topic-partition to this process. Recovery happens here: there is no recovery mode.

    After it is made, `expected` is the offset from which the log has to be fed. Effectively-once: however often records
    below it are fed, each is in exactly one shard, provided that the log still holds what `rebuild` needs.
    Call `close` when the partition is taken away; what was not committed is read again by the next owner.
    """

    def __init__(self, layout: Layout, topic: Topic, partition: int, windows: Windows, rotation: Rotation) -> None:
        self._layout, self._topic, self._partition = layout, topic, partition
        self._windows, self._rotation = windows, rotation
        self._recover()

    @property
    def expected(self) -> int:
        """The next offset that `feed` wants."""
        return self._pipeline.expected

    @property
    def chain(self) -> ShardChain:
        """The chain of this partition."""
        return self._committer.chain

    @property
    def state(self) -> StateDB:
        """The state DB of this partition."""
        return self._committer.state

    @property
    def committed(self) -> Shard | None:
        """The newest committed shard."""
        return self._committer.head.body if self._committer.head else None

    def begin(self, log_start: int) -> None:
        """Tell where the log starts; call once before the first `feed`.

        A new chain starts there. Raises `LogLost` when the chain or its rebuild needs earlier records.
        """
        if self._committer.head is None:
            self._pipeline.start_at(log_start)
        elif log_start > self.expected:
            raise LogLost(
                f"partition {self._partition} of topic {self._topic.name} starts at offset {log_start}, "
                f"but records from offset {self.expected} on are needed: retention has deleted them",
                hint="Restore them or begin anew under another --root, and keep records longer than late_hours.",
            )

    def feed(self, records: Iterable[Record], tell: Callable[[int], None] = lambda offset: None) -> int:
        """Take records in order; commit every shard that becomes complete; return how many were committed.

        `tell` gets the next offset after each commit: a hint for the source. After a lost race (`ChainTaken`) the
        local state has been dropped and rebuilt from the new head: feed again from `expected`, or `close`.
        """
        committed = 0
        try:
            for closed in self._pipeline.process(records):
                self._commit(closed, tell)
                committed += 1
        except ChainTaken:
            self.close()
            self._recover()
        return committed

    def close(self) -> None:
        """Release the state DB; the open shard is forgotten."""
        self._committer.state.close()

    def _commit(self, closed: ClosedShard, tell: Callable[[int], None]) -> None:
        self._committer.commit(closed.body, closed.files, closed.changes, lambda: tell(closed.body.next_offset))

    def _recover(self) -> None:
        chain = shards.chain(self._layout, self._topic.name, self._partition)
        state = self._layout.stream_state(self._topic.name, self._partition)
        self._committer, warm = commit.recover("shards", chain, state)
        head = self.committed
        if head:
            _check_same_log(self._topic, head)
            chain.remove_orphans()
        if warm and head:
            self._pipeline = self._warm(head)
        else:
            self._pipeline = Pipeline.cold(self._topic, self._partition, self._windows, self._rotation, head)

    def _warm(self, head: Shard) -> Pipeline:
        state = self._committer.state
        joiner = Joiner.load(self._windows, head.watermark, state)
        marks = msgspec.msgpack.decode(state.get(MARKS) or b"\x90", type=tuple[tuple[int, int], ...])
        start = Start(head.next_offset, head.next_ordinal, marks)
        return Pipeline(self._topic, self._partition, joiner, self._rotation, start)


def _check_same_log(topic: Topic, head: Shard) -> None:
    if (head.topic_id, head.partitions) != (topic.topic_id, topic.partitions):
        raise LogChanged(
            f"the shards of {topic.name} were made from topic id {head.topic_id} with {head.partitions} partitions, "
            f"but the log now has id {topic.topic_id} and {topic.partitions} partitions",
            hint="The topic was deleted and created anew, or extended: give the new topic a new --root.",
        )
