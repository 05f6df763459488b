"""The owner of one partition: recovers its chain, feeds its pipeline, commits its shards.

The commit is `contracts.commit`; this adds what is special to shards: where the log has to be read from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from contracts import commit, shards
from contracts.errors import ChainBroken, ChainTaken, LogChanged, LogLost, StateDamaged, UsageError
from contracts.layout import Layout
from contracts.partitions import PARTITIONER
from contracts.shards import Shard, ShardChain
from contracts.state_db import StateDB
from streams.clock import NOT_STARTED, Reading
from streams.join import Joiner, Windows
from streams.marks import Mark, mark_of
from streams.open_shard import ClosedShard
from streams.pipeline import SAVED, Pipeline, Rotation, Start, unpack_saved
from streams.records import KafkaRecord, Topic

Step = Callable[[], ClosedShard | None]
Tell = Callable[[ClosedShard, float], None]
SPILL_BYTES = 8 << 20  # of changes that a rebuild holds in memory


class PartitionWriter:
    """One assignment of one topic-partition to this process. Recovery happens here: there is no recovery mode.

    After it is made, `expected` is the offset from which the log has to be fed. Effectively-once: however often records
    below it are fed, each is in exactly one shard, provided that the log still holds what `rebuild` needs.
    Call `close` when the partition is taken away; what was not committed is read again by the next owner.
    `fell_back`: why the last `feed` has dropped the local state, None where it has not.
    """

    def __init__(self, layout: Layout, topic: Topic, partition: int, windows: Windows, rotation: Rotation) -> None:
        self._layout, self._topic, self._partition = layout, topic, partition
        self._windows, self._rotation = windows, rotation
        self._broken = False
        self._began: tuple[int, int] | None = None  # where a new chain starts, and where reading does
        self.fell_back: ChainTaken | StateDamaged | None = None
        self._pipeline: Pipeline
        self._recover()

    @property
    def expected(self) -> int:
        """The next offset that `feed` wants."""
        return self._pipeline.expected

    @property
    def collected(self) -> tuple[int, int]:
        """Samples and bytes that wait for their shard to become complete."""
        return self._pipeline.collected

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

    def begin(self, log_start: int, log_end: int, first: int | None = None) -> None:
        """Tell where the log starts and ends (its next offset); call once before the first `feed`.

        A new chain starts where the log does, or at `first`: what is before that only warms the joiner. Raises
        `LogLost` as `check_log` does.
        """
        self._began = log_start if first is None else first, log_start
        self._start_chain()
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
                hint=f"Keep records for {self._windows.horizon_ms / 3_600_000:.1f} hours and more, for the windows. "
                "To go on without them: freshet streams admit-lost "
                f"--topic {self._topic.name} --partition {self._partition} --reason WHY",
            )
        if committed and log_end < committed.next_offset:
            raise LogLost(
                f"{where} ends at offset {log_end}, but its shards hold records up to offset "
                f"{committed.next_offset}: the log has lost its tail",
                hint="The broker lost records that it had acknowledged. Begin anew under another --root.",
            )

    def feed(
        self,
        records: Iterable[KafkaRecord],
        tell: Tell = lambda closed, seconds: None,
        fold: Callable[[Step], ClosedShard | None] = lambda step: step(),
        prove: Callable[[], None] = lambda: None,
    ) -> int:
        """Take records in order; commit every shard that becomes complete; return how many were committed.

        `tell` gets each committed shard and how many seconds its commit took: a hint for the source. `fold` does the
        steps that fold records, in a thread of its choice: several writers may fold in one, and commit side by side.
        `prove` is called before each commit, and raises where the records may be those of another log.
        After a lost race (`ChainTaken`), or when the state DB proves damaged, the local state has been dropped and is
        rebuilt from the head: feed again from `expected`, or `close`. After any other error the writer is of no more
        use (`ChainBroken`): make a new one.
        """
        if self._broken:
            raise ChainBroken(f"partition {self._partition} of {self._topic.name} is fed after a commit that failed")
        committed, self.fell_back = 0, None
        self._broken = True  # until this call has come through
        try:
            folding = self._pipeline.process(records)
            while closed := fold(lambda: next(folding, None)):
                prove()
                self._commit(closed, tell)
                committed += 1
            self._spill()
        except (ChainTaken, StateDamaged) as error:
            self.fell_back = error.with_traceback(None)
            if isinstance(error, StateDamaged):
                self.state.reset()
            self.close()
            self._recover()
            self._start_chain()
        self._broken = False
        return committed

    def finish(self, tell: Tell = lambda closed, seconds: None) -> None:
        """Commit the open shard as it stands, because what was fed is all there is. Raises `ChainTaken`."""
        closed = self._pipeline.finish()
        if closed is not None:
            self._commit(closed, tell)

    def admit_lost(self, log_start: int, reason: str, windows: Windows | None = None) -> Shard | None:
        """Commit the manifest that admits that records before `log_start` are lost; None where none are missing.

        Afterwards the chain goes on at `log_start`, under `windows` if they are given and other ones: make a new writer
        for them. What was remembered of earlier records is forgotten, and clicks that waited for a request leave as
        orphans. Raises `UsageError` for a chain that has not begun, and where the state has to be rebuilt first.
        """
        head = self.committed
        if head is None:
            raise UsageError(f"partition {self._partition} of {self._topic.name} has no shards: nothing can be missing")
        after = windows or self._windows
        if log_start <= self.expected and after == self._windows:
            return None
        if self._pipeline.rebuilding and log_start <= self.expected:
            raise UsageError(
                f"the local state of partition {self._partition} of {self._topic.name} is gone, and with it the clicks "
                "that wait for their requests; the log still holds what it is rebuilt from",
                hint="Run a worker under the settings of before until it has committed a shard, then say it again.",
            )
        if self._pipeline.rebuilding:  # its state is gone too, and cannot be rebuilt any more
            self._pipeline = self._pipeline_after(head, Joiner(self._windows, self.state, Reading(head.watermark)), ())
        self._commit(self._pipeline.lost(log_start, reason, after), lambda closed, seconds: None)
        self._windows = after
        self.close()
        self._recover()
        return self.committed

    def close(self) -> None:
        """Release the state DB; the open shard is forgotten."""
        self._committer.state.close()

    def _commit(self, closed: ClosedShard, tell: Tell) -> None:
        began = time.perf_counter()
        self._committer.commit(
            closed.body, closed.files, closed.changes, lambda: tell(closed, time.perf_counter() - began)
        )

    def _start_chain(self) -> None:
        if self.committed is None and self._began:
            self._pipeline.start_at(*self._began)

    def _spill(self) -> None:
        """Keep memory bounded in a rebuild, which commits nothing: a DB without a position is of no use to anybody."""
        if self._pipeline.rebuilding and self._pipeline.joiner.changed_bytes > SPILL_BYTES:
            self.state.write(*self._pipeline.joiner.take_changes())

    def _recover(self) -> None:
        chain = shards.chain(self._layout, self._topic.name, self._partition)
        state = self._layout.stream_state(self._topic.name, self._partition)
        self._committer, warm = commit.recover("shards", chain, state)
        head = self.committed
        if head:
            check_same_log(self._topic, head)
            check_same_windows(self._topic, head, self._windows)
            chain.remove_orphans()
        self._pipeline = self._warm(head) if warm and head else self._cold(head)

    def _warm(self, head: Shard) -> Pipeline:
        try:
            saved = unpack_saved(self.state.get(SAVED) or b"")
            joiner = Joiner.load(self._windows, saved.reading, self.state)
        except (msgspec.MsgspecError, StateDamaged):  # of an earlier version, or damaged: a cache
            self.state.reset()
            return self._cold(head)
        return self._pipeline_after(head, joiner, saved.marks)

    def _cold(self, head: Shard | None) -> Pipeline:
        reading = mark_of(head.rebuild).reading if head else NOT_STARTED
        joiner = Joiner(self._windows, self.state, reading)
        return Pipeline.cold(self._topic, self._partition, joiner, self._rotation, head)

    def _pipeline_after(self, head: Shard, joiner: Joiner, marks: Sequence[Mark]) -> Pipeline:
        return Pipeline(self._topic, self._partition, joiner, self._rotation, Start.after(head, marks))


def check_same_log(topic: Topic, head: Shard) -> None:
    """Raise `LogChanged` unless a shard was made from this very topic, its users dealt to partitions as now."""
    if (head.topic_id, head.partitions) != (topic.topic_id, topic.partitions):
        raise LogChanged(
            f"the shards of {topic.name} were made from topic id {head.topic_id} with {head.partitions} partitions, "
            f"but the log now has id {topic.topic_id} and {topic.partitions} partitions",
            hint="The topic was deleted and created anew, or extended, or a log's files changed: use a new --root.",
        )
    if head.partitioner != PARTITIONER:
        raise LogChanged(
            f"users of {topic.name} were dealt to partitions by {head.partitioner!r}, and now are by {PARTITIONER!r}",
            hint="Users would change their partitions: use the version that wrote them, or a new --root.",
        )


def check_same_windows(topic: Topic, head: Shard, windows: Windows) -> None:
    """Raise `LogChanged` unless a shard was joined under these rules."""
    ours = windows.in_words()
    if head.windows not in (msgspec.UNSET, ours):
        other = {name: (rule, ours.get(name)) for name, rule in dict(head.windows).items() if rule != ours.get(name)}
        words = ", ".join(f"{name} {theirs} and not {now}" for name, (theirs, now) in other.items())
        raise LogChanged(
            f"the shards of {topic.name} were joined under other settings: {words}",
            hint="Set them back, or say for each partition that the new ones are meant: freshet streams admit-lost "
            f"--topic {topic.name} --partition {head.partition} --reason WHY (what waits for a request is given up).",
        )
