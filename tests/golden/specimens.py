"""The values behind the golden files: one of everything, with every field set, small enough to be read by eye."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from contracts.arrays import pack
from contracts.bases import (
    DENSE,
    ITEM_TOWER,
    ITEMS,
    TREND,
    USER_TOWER,
    USER_TOWER_INT8,
    USERS,
    Base,
    Items,
    OnlineSettings,
    Towers,
    pack_items,
    pack_users,
)
from contracts.catalogue import FreshItems
from contracts.deltas import Changes, Delta
from contracts.drift import Drift, Shift, Spread
from contracts.events import Click, Context, Event, Item, Rejected, Request, Shown, Tick
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from contracts.nights import Night
from contracts.rebases import Rebase
from contracts.reference import REFERENCE, pack_reference
from contracts.rows import Row, RowTable
from contracts.samples import Sample, Source
from contracts.served import Gate, Hold, Position, Refused, Served
from contracts.shards import DeadLetter, Rebuild, Shard
from contracts.validation import BlockScore

AnyBody = Any
TOPIC, BASE_ID, WIDTH = "events", "full-2017-10-08", 4
T = 1_507_500_000_000

_CONTEXT = Context({"device": "phone"}, {"hour": 13.5})

EVENTS: dict[str, Event] = {
    "request": Request(
        request_id="r-1",
        user_id="user-é",
        event_time=T,
        ingest_time=T + 250,
        context=_CONTEXT,
        shown=(Shown("item-1", 0), Shown("item-2", 1)),
        rejected=(Rejected("item-3", "pre_rank"), Rejected("item-4", "rank")),
        arm="fresh",
        served_version=7,
    ),
    "click": Click("user-é", "item-2", T + 1000, T + 1500, event_id="e-1", request_id="r-1"),
    "click_without_request": Click("user-2", "item-1", T + 2000, T + 2000, context=_CONTEXT),
    "tick": Tick(T + 60_000),
    "item": Item("item-1", T, Context({"category": "news"}, {"length": 1024.0}), T - 1000, T + 1000),
}

SAMPLES = (
    Sample(
        user_id="user-é",
        item_id="item-2",
        event_time=T + 1000,
        context=_CONTEXT,
        hard_negatives=(Rejected("item-3", "pre_rank"), Rejected("item-4", "rank")),
        joined="request",
        arm="fresh",
        served_version=7,
        watermark=T + 1500,
        ordinal=0,
        source=Source(TOPIC, 0, 11),
    ),
    Sample("user-2", "item-1", T + 2000, Context(), (), "orphan", "", 0, T + 2000, 1, Source(TOPIC, 0, 13)),
)

DEAD_LETTERS = (DeadLetter(TOPIC, 0, 12, "not_json", "JSON is malformed: invalid character (byte 0)", "\xff\x00oops"),)

SHARDS = (
    Shard(
        topic=TOPIC,
        topic_id="3Xw0mKzRQ9y0mE1nF2c4pA",
        partition=0,
        partitions=1,
        first_offset=10,
        next_offset=14,
        first_ordinal=0,
        next_ordinal=2,
        watermark=T + 2000,
        first_event_time=T + 1000,
        last_event_time=T + 2000,
        records=4,
        read={"clicks:orphan": 1, "clicks:request": 1, "rejected:not_json": 1, "requests": 1},
        emitted={"orphan": 1, "request": 1},
        rebuild=Rebuild(10, -1, {"jumps": 1}),
    ),
    Shard(
        topic=TOPIC,
        topic_id="3Xw0mKzRQ9y0mE1nF2c4pA",
        partition=0,
        partitions=1,
        first_offset=14,
        next_offset=20,
        first_ordinal=2,
        next_ordinal=2,
        watermark=T + 2000,
        first_event_time=0,
        last_event_time=0,
        records=0,
        read={},
        emitted={},
        rebuild=Rebuild(10, -1),
        kind="lost",
        reason="retention was one day",
    ),
)

FEATURES = FeatureSpec((DiscreteFeature("device", ("phone", "desktop")),), (ContinuousFeature("hour", 12.0, 6.0),))
BASE = Base(
    base_id=BASE_ID,
    parent="full-2017-10-07",
    parent_digest="ab" * 32,
    topic=TOPIC,
    topic_id="3Xw0mKzRQ9y0mE1nF2c4pA",
    partitions=1,
    cut=(0,),
    cut_watermark=T - 1,
    days=("2017-10-07", "2017-10-08"),
    day_zone="America/Sao_Paulo",
    towers=Towers(WIDTH, 8, "cosine", 0.125, FEATURES, FeatureSpec()),
    online=OnlineSettings(bias_weight=0.5, negatives=16),
    trend_t0=T,
    cpu_family="GenuineIntel 6 avx2",
    seed=1,
    metrics={"recall@20": 0.25},
    own_scale=0.5,
)


def vector(*numbers: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return numbers that float32 holds exactly."""
    return np.array(numbers, dtype=np.float32)


ROWS = {
    "user-2": Row(vector(0.5, -0.25, 0.0, 1.0), 3, T - 5000, ("item-1", "item-2")),
    "user-é": Row(vector(-1.0, 0.125, 2.0, -0.0), 1, T - 9000, ("item-3",)),
}
COMMON = vector(1.0, 0.5, 0.25, 0.125)
TREND_COUNTS = {"item-1": 2.5, "item-2": 0.75}
ITEM_SIDE = Items(
    ["item-1", "item-2", "item-3"],
    np.arange(12, dtype=np.float32).reshape(3, WIDTH),
    np.arange(12, dtype=np.float32).reshape(3, WIDTH) / np.float32(16),
    vector(0.5, 0.0, -0.5),
)
BASE_FILES = {
    DENSE: pack({"layer": np.arange(6, dtype=np.float32).reshape(2, 3)}),
    USERS: pack_users(COMMON, ROWS, WIDTH),
    ITEMS: pack_items(ITEM_SIDE),
    TREND: pack({"items": sorted(TREND_COUNTS), "counts": np.array([2.5, 0.75])}),
    USER_TOWER: b"the user tower: opaque here",
    USER_TOWER_INT8: b"the user tower in 8 bits: opaque here",
    ITEM_TOWER: b"the item tower: opaque here",
    REFERENCE: pack_reference(COMMON, RowTable.of(ROWS, WIDTH)),
}
FRESH_ITEMS = FreshItems(["item-4", "item-é"], ITEM_SIDE.vectors[:2], {"item-1": T - 1000}, {"item-1": T + 1000})
CATALOGUE = "ab" * 32

CHANGES = (
    Changes(
        common=vector(1.0, 0.5, 0.25, 0.25),
        common_samples=2,
        rows={"user-é": Row(vector(-1.0, 0.25, 2.0, 0.5), 2, T + 1000, ("item-3", "item-2"))},
        trend={"item-1": 3.5, "item-2": 1.75},
        admission={"user-2": 1},
    ),
    Changes(common=vector(1.0, 0.5, 0.25, 0.25), common_samples=2, tombstones={"user-é"}),
)
BLOCK_SCORES = tuple(
    BlockScore(
        base_id=BASE_ID,
        partition=0,
        first_ordinal=0,
        next_ordinal=2,
        watermark=T + 2000,
        served_version=1,
        delta=0,
        arm=arm,
        slice="all",
        k=20,
        samples=2,
        known=2,
        hits=1,
        loss=1.5,
    )
    for arm in ("served", "frozen")
)


def deltas(base_digest: str) -> tuple[Delta, Delta]:
    """Return the bodies of both deltas on the base with this digest."""
    first = Delta(
        base_id=BASE_ID,
        base_digest=base_digest,
        topic=TOPIC,
        partition=0,
        partitions=1,
        first_ordinal=0,
        next_ordinal=2,
        watermark=T + 300_000,
        first_event_time=T + 1000,
        last_event_time=T + 2000,
        width=WIDTH,
        trend_t0=T,
        samples=2,
        learned=1,
        trend_only=1,
        set_aside=0,
        touched_rows=1,
        reasons={"context": 0},
    )
    second = {"first_ordinal": 2, "watermark": T + 600_000, "first_event_time": 0, "last_event_time": 0}
    nothing = {"samples": 0, "learned": 0, "trend_only": 0, "touched_rows": 0}
    return first, replace(first, **second, **nothing)


def served(base_digest: str, digests: tuple[str, str]) -> tuple[Served, Served]:
    """Return the bodies of both served manifests: a publish of both deltas, and a rollback to the first."""
    first = Served(
        base_id=BASE_ID,
        base_digest=base_digest,
        user_tower_sha256="cd" * 32,
        item_tower_sha256="ef" * 32,
        collections=("freshet_full_2017_10_08",),
        positions=(Position(0, 2, digests[1], 2, T + 600_000),),
        holds=(),
        trend_time=T + 600_000,
        first_event_time=T + 1000,
        last_event_time=T + 2000,
        gates=(Gate("contiguous", True, "2 deltas follow the base"),),
        action="publish",
        content_of=1,
        who="publisher",
        why="2 new deltas",
        created_at=T + 700_000,
        catalogue=CATALOGUE,
    )
    back = {"positions": (Position(0, 1, digests[0], 2, T + 300_000),), "holds": (Hold(0, 2, 2),), "content_of": 1}
    return first, replace(first, **back, action="rollback", who="operator", why="delta 2 was wrong")


def refused(base_digest: str, digests: tuple[str, str]) -> Refused:
    """Return the body of a refusal: the second delta, of which too little was found."""
    return Refused(
        number=2,
        base_id=BASE_ID,
        base_digest=base_digest,
        positions=(Position(0, 2, digests[1], 2, T + 600_000),),
        gates=(Gate("contiguity", True, "every delta follows"), Gate("recall", False, "recall@20 0.01, frozen 0.02")),
        who="publisher",
        why="",
        created_at=T + 650_000,
    )


DRIFT = Drift(
    base_id=BASE_ID,
    partition=0,
    first_ordinal=0,
    next_ordinal=2,
    watermark=T + 300_000,
    touched_known=1,
    touched_new=1,
    distance=Spread(0.25, 0.25, 0.25, 0.25),
    angle=Spread(12.5, 12.5, 12.5, 12.5),
    common_distance=0.5,
    common_angle=3.0,
    popularity=Shift(0.5, 0.25),
    discrete={"device": Shift(0.125, 0.0625)},
    continuous={"hour": -0.5},
    lacking=("context",),
)


def rebases(base_digest: str) -> tuple[Rebase, Rebase]:
    """Return the bodies of a rebase's record: announced, and at its end ready."""
    before = Rebase(BASE_ID, base_digest, "announced", "2017-10-07", "12" * 32, 0, 0, 0, 0, 0, 0, "trainer", "", T)
    figures = {"since": T, "until": T + 600_000, "clicks": 900, "hits": 410, "former_hits": 400, "k": 20}
    return before, replace(before, state="ready", why="recall@20 0.4556, base 2017-10-07 0.4444", **figures)


def nights() -> tuple[Night, Night]:
    """Return the bodies of a night's record: planned, and at its end announced."""
    planned = Night("planned", ("2017-10-08",), "2017-10-07", "", {}, (), "trainer", "", T)
    found = {"base_id": BASE_ID, "review": {"fresh.all": 0.5}, "gates": (Gate("fit", True, "recall@20 0.5"),)}
    return planned, replace(planned, step="announced", **found)
