"""Samples as a wrong joiner would make them: their negatives are items that were shown and not clicked.

They stand in shards of a run folder of experiments, and nowhere else: copies of the right ones in which, wherever a
sample carries candidates that ranking rejected, the other items that its request showed stand in their place. Whether
an item was shown says where it stood, and that ranking thought it good; not that the user dislikes it.
"""

from __future__ import annotations

from contracts import sample_encoding, shards
from contracts.layout import Layout
from contracts.sample_columns import Columns
from trainer.experiments.truth import Truth


def write_wrong(right: Layout, wrong: Layout, topic: str, truth: Truth) -> None:
    """Copy the shards of a topic, with wrong negatives; what is there already is gone on from."""
    for partition in shards.partitions(right, topic):
        source, target = (shards.chain(layout, topic, partition) for layout in (right, wrong))
        head = target.head()
        for entry in source.entries(head.number if head else 0):
            columns = shards.read_columns(source, entry)
            _spoil(columns, truth)
            files = {shards.SAMPLES: sample_encoding.encode(columns)} if columns.ordinal else {}
            head = target.prepare(head, entry.body, files)
            target.create(head)


def _spoil(columns: Columns, truth: Truth) -> None:
    for row, (user, time) in enumerate(zip(columns.user_id, columns.event_time, strict=True)):
        if columns.hard_negatives[row]:
            shown = truth.shown(user, time)
            columns.hard_negatives[row] = shown
            columns.hard_negative_stages[row] = tuple("rank" for _ in shown)
