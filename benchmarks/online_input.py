"""What `online_step` learns: committed shards of one topic-partition, a base to learn on, and blocks ready to fold."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from benchmarks.click_log import START_MS, ClickLog
from benchmarks.torch_loop import Clicks
from contracts import bases
from contracts.arrays import Floats, pack
from contracts.bases import Base, BaseStore, Items, OpenBase, Towers, cpu_family, pack_items, pack_users
from contracts.events import Context
from contracts.features import FeatureSpec
from contracts.layout import Layout
from contracts.rows import Row
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import Topic
from streams.replay import Replay, Rules
from trainer.negatives import POWER
from trainer.settings import OnlineUpdate
from trainer.shard_feed import SampleColumns
from trainer.towers import TwoTowers

WIDTH = 64
TOPIC = Topic("events", "benchmark", 1)


def write_shards(layout: Layout, log: ClickLog) -> None:
    """Fold the log into the committed shards of one topic-partition."""
    replay = Replay(layout, TOPIC, Rules(Windows(), Rotation()))
    replay.fold(log.records(TOPIC.partitions))
    replay.close()


def write_base(layout: Layout, log: ClickLog, base_id: str, block: int = OnlineUpdate().block_samples) -> OpenBase:
    """Write a base that knows every item and every second user, with the default online settings but for the `block`.

    Its cut lies before the log, its towers have no features: all of the user vector comes from rows, as the peer's.
    """
    dice = np.random.default_rng(log.seed)
    items = [f"i{number:06d}" for number in range(log.items)]
    vectors = unit_vectors(dice, log.items)
    biases = np.zeros(log.items, np.float32)
    users = [f"u{number:07d}" for number in range(0, log.users, 2)]
    rows = {
        user: Row(own * np.float32(0.3), 1, START_MS, ())
        for user, own in zip(users, unit_vectors(dice, len(users)), strict=True)
    }
    towers = Towers(WIDTH, 128, "cosine", 0.1, FeatureSpec(), FeatureSpec())
    files = {
        bases.DENSE: TwoTowers(towers).packed(),
        bases.USERS: pack_users(unit_vectors(dice, 1)[0], rows, WIDTH),
        bases.ITEMS: pack_items(Items(items, vectors, vectors, biases)),
        bases.TREND: pack({"items": list[str](), "counts": np.zeros(0)}),
    }
    online = OnlineUpdate(block_samples=block).chosen()
    return BaseStore(layout).write(msgspec.structs.replace(manifest(base_id, towers), online=online), files)


def decoded(base: OpenBase, log: ClickLog, count: int) -> list[SampleColumns]:
    """Return `count` clicks of the log's making as full blocks of decoded samples, spread evenly over its time."""
    dice, size = np.random.default_rng(log.seed), base.manifest.online.block_samples
    users = [f"u{number:07d}" for number in dice.integers(log.users, size=count).tolist()]
    items = [f"i{number:06d}" for number in dice.choice(log.items, size=count, p=log.shares()).tolist()]
    times = START_MS + np.arange(count, dtype=np.int64) * log.span_ms // count
    nothing = [Context()] * size
    starts = range(0, count - size + 1, size)
    spans = [(start, slice(start, start + size)) for start in starts]
    return [SampleColumns(at, users[span], items[span], nothing, times[span], times[span]) for at, span in spans]


def plain_clicks(base: OpenBase, log: ClickLog, count: int) -> Clicks:
    """Return `count` clicks of the same log's making as the peer takes them."""
    dice = np.random.default_rng(log.seed)
    shares = log.shares()
    return Clicks(
        users=torch.from_numpy(dice.integers(log.users, size=count)),
        items=torch.from_numpy(dice.choice(log.items, size=count, p=shares)),
        user_count=log.users,
        vectors=torch.tensor(base.items.vectors),
        weights=torch.from_numpy(np.power(shares, POWER).astype(np.float32)),
    )


def unit_vectors(dice: np.random.Generator, count: int) -> Floats:
    """Return random directions, float32 [count, WIDTH]."""
    drawn = dice.normal(size=(count, WIDTH))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def manifest(base_id: str, towers: Towers, cut_ms: int = START_MS) -> Base:
    """Return the manifest of a base that was cut at `cut_ms`, with the default online settings."""
    return Base(
        base_id=base_id,
        parent="",
        parent_digest="",
        topic=TOPIC.name,
        topic_id=TOPIC.topic_id,
        partitions=TOPIC.partitions,
        cut=(0,),
        cut_watermark=cut_ms,
        days=("2017-10-02",),
        day_zone="UTC",
        towers=towers,
        online=OnlineUpdate().chosen(),
        trend_t0=cut_ms,
        cpu_family=cpu_family(),
        seed=1,
        metrics={},
    )
