"""The owner of one partition: recovers its chain, feeds its pipeline, commits its shards.

The commit is `contracts.commit`; this adds what is special to shards: where the log has to be read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from contracts import commit, shards
from contracts.errors import ChainBroken, ChainTaken, LogChanged, LogLost
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
        self._broken = False
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

    def begin(self, log_start: int, log_end: int) -> None:
        """Tell where the log starts and ends (its next offset); call once before the first `feed`.

        A new chain starts where the log does. Raises `LogLost` as `check_log` does.
        """
        if self.committed is None:
            self._pipeline.start_at(log_start)
        self.check_log(log_start, log_end)

    def check_log(self, log_start: int, log_end: int) -> None:
        """Raise `LogLost` when earlier records are needed than the log holds, or when it ends before the chain does.

        What is written to a log that lost its tail would carry offsets that are taken already.
        """
        where, committed = f"partition {self._partition} of topic {self._topic.name}", self.committed
        if log_start > self.expected:
            raise LogLost(
                f"{where} starts at offset {log_start}, but records from offset {self.expected} on are needed: "
                "retention has deleted them",
                hint="Restore them or begin anew under another --root, and keep records longer than late_hours, twice.",
            )
        if committed and log_end < committed.next_offset:
            raise LogLost(
                f"{where} ends at offset {log_end}, but its shards hold records up to offset "
                f"{committed.next_offset}: the log has lost its tail",
                hint="The broker lost records that it had acknowledged. Begin anew under another --root.",
            )

    def feed(self, records: Iterable[Record], tell: Callable[[int], None] = lambda offset: None) -> int:
        """Take records in order; commit every shard that becomes complete; return how many were committed.

        `tell` gets the next offset after each commit: a hint for the source. After a lost race (`ChainTaken`) the
        local state has been dropped and rebuilt from the new head: feed again from `expected`, or `close`. After any
        other error the writer is of no more use (`ChainBroken`): make a new one.
        """
        if self._broken:
            raise ChainBroken(f"partition {self._partition} of {self._topic.name} is fed after a commit that failed")
        committed = 0
        self._broken = True  # until this call has come through
        try:
            for closed in self._pipeline.process(records):
                self._commit(closed, tell)
                committed += 1
        except ChainTaken:
            self.close()
            self._recover()
        self._broken = False
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
