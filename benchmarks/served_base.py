"""What the benchmarks of publishing and serving work on: a base of any size with a user tower, and deltas on it."""

from __future__ import annotations

import msgspec
import numpy as np

from benchmarks.online_input import WIDTH, manifest, unit_vectors
from contracts import bases, deltas
from contracts.arrays import Floats, pack
from contracts.bases import BaseStore, Items, OpenBase, Towers, pack_items
from contracts.chain import Entry
from contracts.deltas import Changes, Delta
from contracts.features import FeatureSpec
from contracts.layout import Layout
from contracts.reference import REFERENCE, pack_reference
from contracts.rows import Evidence, Rings, RowTable, pack_table
from trainer.export import item_tower, quantised, user_tower
from trainer.settings import OnlineUpdate
from trainer.towers import TwoTowers

CUT_MS, INTERVAL_MS, RING = 1_507_000_200_000, 1_800_000, 8
TRENDING = 2_000
CLUSTERS, SPREAD = 500, 0.8


def write_base(layout: Layout, users: int, items: int) -> OpenBase:
    """Write a base `served` of so many users and items, one partition, default online settings."""
    dice = np.random.default_rng(1)
    vectors = clustered(dice, items)
    towers = Towers(WIDTH, 128, "cosine", 0.1, FeatureSpec(), FeatureSpec())
    names = [f"i{number:06d}" for number in range(items)]
    both = TwoTowers(towers)
    table = _table([f"u{number:09d}" for number in range(users)], dice, names, vectors)
    tower = user_tower(both.user)
    files = {
        bases.DENSE: both.packed(),
        bases.USERS: pack({"common": vectors[0], **pack_table(table)}),
        REFERENCE: pack_reference(vectors[0], table),
        bases.ITEMS: pack_items(Items(names, vectors, vectors, np.zeros(items, np.float32))),
        bases.TREND: pack({"items": list[str](), "counts": np.zeros(0)}),
        bases.USER_TOWER: tower,
        bases.USER_TOWER_INT8: quantised(tower),
        bases.ITEM_TOWER: item_tower(both.item),
    }
    made = msgspec.structs.replace(manifest("served", towers, CUT_MS), online=OnlineUpdate().chosen())
    return BaseStore(layout).write(made, files)


def clustered(dice: np.random.Generator, count: int) -> Floats:
    """Return unit vectors, float32 [count, WIDTH], as trained items lie: around `CLUSTERS` centres, not everywhere."""
    centres = unit_vectors(dice, CLUSTERS)[dice.integers(CLUSTERS, size=count)]
    around = centres + unit_vectors(dice, count) * np.float32(SPREAD)
    return np.asarray(around / np.linalg.norm(around, axis=1, keepdims=True), dtype=np.float32)


def append_delta(layout: Layout, base: OpenBase, touched: int, seed: int) -> Entry[Delta]:
    """Append a delta that changes so many of the base's users, half an hour after the one before."""
    dice, names = np.random.default_rng(seed), base.items.ids
    start = (seed * touched) % max(len(base.rows) - touched, 1)
    span = slice(start, start + touched)
    table = _table(base.rows.users[span], dice, names, base.items.vectors)
    table = table.with_own(base.rows.own[span] + np.float32(0.1) * table.own)
    clicked = {names[n]: float(2 ** (seed % 8)) for n in dice.integers(len(names), size=min(TRENDING, len(names)))}
    changes = Changes(unit_vectors(dice, 1)[0], seed, trend=clicked)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    head = chain.head()
    first, watermark = (head.body.next_ordinal, head.body.watermark) if head else (0, CUT_MS)
    body = Delta(
        base_id=base.manifest.base_id,
        base_digest=base.digest,
        topic=base.manifest.topic,
        partition=0,
        partitions=1,
        first_ordinal=first,
        next_ordinal=first + touched,
        watermark=watermark + INTERVAL_MS,
        first_event_time=watermark,
        last_event_time=watermark + INTERVAL_MS,
        width=WIDTH,
        trend_t0=base.manifest.trend_t0,
        samples=touched,
        learned=touched,
        trend_only=0,
        set_aside=0,
        touched_rows=touched,
    )
    entry = chain.prepare(head, body, {deltas.ROWS: deltas.encode_table(changes, table)})
    chain.create(entry)
    return entry


def _table(users: list[str], dice: np.random.Generator, items: list[str], vectors: Floats) -> RowTable:
    """Return rows that pull each user towards an item of theirs."""
    count = len(users)
    own: Floats = vectors[dice.integers(len(items), size=count)] + unit_vectors(dice, count) * np.float32(0.3)
    evidence = Evidence(np.full(count, RING, np.int64), CUT_MS - dice.integers(1, 10**9, count))
    rings = Rings(np.arange(1, count + 1) * RING, dice.integers(len(items), size=count * RING), items)
    return RowTable(users, own, evidence, rings)
