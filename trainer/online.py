"""The online update of one (base, partition): samples in, user rows and trend counts out, a delta per publish interval.

    recover → read committed shards → cut into blocks → score, then learn each block → commit a delta at each boundary

State is a function of (base, samples in order) alone. A delta is committed whenever the watermark of the shards crosses
a multiple of the publish interval, also when nothing changed, so its watermark tells how far the state has come.
The guarantee is effectively-once: a sample is in exactly one delta, however often this process dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from contracts import commit, deltas, drift, validation
from contracts.bases import Base, OpenBase
from contracts.chain import Entry
from contracts.crash import reach
from contracts.days import shown
from contracts.deltas import Changes, Delta
from contracts.errors import ChainTaken, StateDamaged, UsageError, WrongParent
from contracts.layout import Layout
from contracts.rows import RowTable
from contracts.trend import MAX_EXPONENT
from trainer import row_cache
from trainer.block_learner import ScoredLearner, Start, Tools
from trainer.blocks import BlockCutter
from trainer.delta_content import body, content
from trainer.digest import overlay
from trainer.one_thread import one_thread
from trainer.progressive import Served
from trainer.settings import TrainerSettings
from trainer.shard_feed import open_feed

NEVER = 1 << 62


class OnlineWorker:
    """The owner of one (base, partition). Recovery happens when it is made: there is no recovery mode.

    Call `advance` whenever shards may have been committed; `close` when the partition is given away. What was folded
    since the last boundary is in no delta then; the next owner folds it again, to the same bits.
    Raises `WrongParent` where the chain belongs to another base, `LogChanged` where the shards do, `UsageError` where
    the publish interval does not hold whole blocks.
    """

    def __init__(self, layout: Layout, base: OpenBase, topic: str, partition: int, settings: TrainerSettings) -> None:
        _check(base, topic, partition, settings)
        self.partition, self.settings = partition, settings
        self.layout, self.base = layout, base
        self.tools = Tools.of(base, partition, settings.top_k)
        self._stopping = False
        self._recover()

    @property
    def head(self) -> Entry[Delta] | None:
        """The newest delta."""
        return self._committer.head

    @property
    def watermark(self) -> int:
        """How far the deltas have come (ms): the last boundary crossed, or the base's cut."""
        return self.head.body.watermark if self.head else self.base.manifest.cut_watermark

    def advance(self, until: int = NEVER, committed: Callable[[Entry[Delta]], None] = lambda delta: None) -> int:
        """Fold what the shards hold, emitted before `until` (ms of watermark); return how many samples were folded.

        Commits one delta per boundary crossed up to `until` and tells `committed`. When another owner was quicker, the
        local state is dropped and rebuilt from the new head, and folding goes on from there. Raises `UsageError` at the
        first boundary at which the base is too old for its trend counts; the deltas before it stay.
        """
        folded = 0
        while True:
            try:
                with one_thread():
                    for count in self._run(until, committed):
                        folded += count
                        if self._stopping:
                            break
                return folded
            except ChainTaken:
                self.close()
                self._recover()

    def stop(self) -> None:
        """Make `advance` return after the block that it is at. Only `close` may be called after that."""
        self._stopping = True

    def close(self) -> None:
        """Release the state DB; what is in no delta yet is forgotten."""
        self._committer.state.close()

    def _recover(self) -> None:
        chain = deltas.chain(self.layout, self.base.manifest.base_id, self.partition)
        state = self.layout.trainer_state(self.base.manifest.base_id, self.partition)
        self._committer, warm = commit.recover("deltas", chain, state)
        head = self._committer.head
        if head and head.body.base_digest != self.base.digest:
            self.close()
            raise WrongParent(f"the deltas of {chain.directory} were made on another base of the same name")
        chain.remove_orphans()
        found = self._cached() if warm else None
        self._uncached = {}
        if found is None and (found := overlay(self.layout, self.base, self.partition)[0]) is not None:
            self._uncached = row_cache.encode(
                found, RowTable.of(found.rows, self.base.manifest.towers.width), found.rows
            )
        self._learner = ScoredLearner(self.tools, Start(found, self.watermark, self.base.trend))
        self._next = head.body.next_ordinal if head else self.base.manifest.cut[self.partition]
        self._follow()

    def _cached(self) -> Changes | None:
        """Return the rows that the state DB holds; None, and an empty DB, where it is damaged."""
        try:
            return row_cache.load(self._committer.state)
        except StateDamaged:
            self._committer.state.reset()
            return None

    def _follow(self) -> None:
        """Read on from the last block folded and the last boundary crossed."""
        self._feed = open_feed(self.layout, self.base.manifest, self.partition, self._next, self.watermark)
        self._cutter = BlockCutter(self.base.manifest.online, self._next)

    def _run(self, until: int, committed: Callable[[Entry[Delta]], None]) -> Iterator[int]:
        """Fold block after block; yield how many samples each had, and 0 after a boundary."""
        for shard in self._feed.read():
            beyond = shard.watermark > until
            samples = shard.samples.before(until) if beyond else shard.samples
            watermark = min(shard.watermark, until)
            for block in self._cutter.through(samples, watermark):
                yield from self._cross(int(block.watermarks[0]), committed)
                reach("deltas.block.before")
                self._learner.learn(block, Served(self.head.number if self.head else 0, self.watermark))
                self._next = block.next_ordinal
                reach("deltas.block.after")
                yield len(block)
            yield from self._cross(watermark, committed)
            if beyond:
                break
        else:
            return
        self._follow()

    def _cross(self, watermark: int, committed: Callable[[Entry[Delta]], None]) -> Iterator[int]:
        """Commit a delta for every boundary between the last one and `watermark` (ms)."""
        interval = self.settings.publish_interval_ms
        while (boundary := (self.watermark // interval + 1) * interval) <= watermark:
            _check_age(self.base.manifest, boundary)
            committed(self._commit(boundary))
            yield 0

    def _commit(self, boundary: int) -> Entry[Delta]:
        """Commit what was folded since the last delta: all samples emitted before `boundary` (ms)."""
        learner = self._learner.learner
        found = content(learner, boundary)
        files = {
            deltas.ROWS: found.data,
            deltas.VALIDATION: validation.encode(self._learner.scores),
            deltas.DRIFT: drift.encode(self._learner.drift(found.rows, self._next, boundary)),
        }
        entry = self._committer.commit(
            body(self.base, self.partition, (self._next, boundary), learner, len(found.rows)),
            files,
            (self._uncached, found.keys),
        )
        self._uncached = {}
        self._learner.commit()
        return entry


def _check(base: OpenBase, topic: str, partition: int, settings: TrainerSettings) -> None:
    manifest = base.manifest
    if topic != manifest.topic or partition >= manifest.partitions:
        raise UsageError(
            f"base {manifest.base_id} is of topic {manifest.topic!r} with {manifest.partitions} partitions, "
            f"not of partition {partition} of {topic!r}",
            hint="Name the topic and partitions of the base, or train a base on this topic.",
        )
    if settings.publish_interval_ms % manifest.online.block_ms:
        raise UsageError(
            f"publish_interval_ms {settings.publish_interval_ms} is no multiple of the base's block of "
            f"{manifest.online.block_ms} ms",
            hint="Set publish_interval_ms to a multiple of it.",
        )


def _check_age(base: Base, watermark: int) -> None:
    """Refuse to go on where a new click would weigh no more than an old one: the weights have reached their bound."""
    if watermark - base.trend_t0 > MAX_EXPONENT * base.online.half_life_ms:
        raise UsageError(
            f"base {base.base_id} is too old: at {shown(watermark, base.day_zone)} more than {MAX_EXPONENT:.0f} "
            f"half-lives of its trend counts ({base.online.half_life_ms} ms each) have passed since its cut",
            hint="Train a new base, which is meant to be a day old: freshet trainer retrain.",
        )
