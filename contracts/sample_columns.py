"""Samples by column: a shard's worth of them as plain lists, which is how they are encoded and decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from contracts.events import Context, Stage

SCHEMA = 1
DISCRETE, CONTINUOUS = "context/discrete/", "context/continuous/"
Joined = Literal["direct", "request", "orphan", "late"]


@dataclass(frozen=True, slots=True)
class Columns:
    """One entry a sample in each list, in the order of the samples; what an entry means, `contracts.samples` says.

    Entries may share a `Context`: nobody changes one.
    """

    user_id: list[str] = field(default_factory=list)
    item_id: list[str] = field(default_factory=list)
    event_time: list[int] = field(default_factory=list)
    context: list[Context] = field(default_factory=list)
    hard_negatives: list[tuple[str, ...]] = field(default_factory=list)
    hard_negative_stages: list[tuple[Stage, ...]] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)
    arm: list[str] = field(default_factory=list)
    served_version: list[int] = field(default_factory=list)
    watermark: list[int] = field(default_factory=list)
    ordinal: list[int] = field(default_factory=list)
    source_topic: list[str] = field(default_factory=list)
    source_partition: list[int] = field(default_factory=list)
    source_offset: list[int] = field(default_factory=list)
