"""What a learner's fresh state becomes: the body and the files of the next delta, and what the state DB is told."""

from __future__ import annotations

from dataclasses import dataclass

from contracts import deltas
from contracts.bases import OpenBase
from contracts.deltas import Changes, Delta
from contracts.rows import RowTable
from trainer import row_cache
from trainer.block_learner import BlockLearner


@dataclass(frozen=True)
class DeltaContent:
    """All that changed since the last commit: `changes` without rows, the rows, and who of them waited until now."""

    changes: Changes
    rows: RowTable
    admitted: frozenset[str]

    @property
    def data(self) -> bytes:
        """The rows file."""
        return deltas.encode_table(self.changes, self.rows)

    @property
    def keys(self) -> dict[bytes, bytes | None]:
        """What the state DB has to be told."""
        return row_cache.encode(self.changes, self.rows, self.admitted)


def content(learner: BlockLearner, boundary: int) -> DeltaContent:
    """Return what is fresh at a boundary (ms); rows that are too old by then go. O(touched). Call before `commit`."""
    rows = learner.rows
    gone = set(rows.expire(boundary))
    changes = Changes(rows.common, rows.common_samples, {}, gone, learner.trend.fresh(), rows.fresh_waiting())
    return DeltaContent(changes, rows.fresh_table(), rows.fresh_admitted())


def body(base: OpenBase, partition: int, reached: tuple[int, int], learner: BlockLearner, touched: int) -> Delta:
    """Return the manifest body of a delta that has `reached` (next ordinal, boundary in ms) and `touched` rows."""
    manifest, tally, (ordinal, boundary) = base.manifest, learner.tally, reached
    return Delta(
        base_id=manifest.base_id,
        base_digest=base.digest,
        topic=manifest.topic,
        partition=partition,
        partitions=manifest.partitions,
        first_ordinal=ordinal - tally.samples,
        next_ordinal=ordinal,
        watermark=boundary,
        first_event_time=tally.first_event_time,
        last_event_time=tally.last_event_time,
        width=manifest.towers.width,
        trend_t0=manifest.trend_t0,
        samples=tally.samples,
        learned=tally.learned,
        trend_only=tally.trend_only,
        set_aside=sum(tally.set_aside.values()),
        touched_rows=touched,
        reasons=dict(sorted(tally.set_aside.items())),
    )
