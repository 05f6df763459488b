"""Small bases and chains of deltas, made without the trainer: numpy, a tiny ONNX user tower, and fixed seeds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contracts import deltas, rebases, served, shards, trend, validation
from contracts.arrays import Floats, pack
from contracts.bases import (
    CONTENT,
    DENSE,
    ITEM_TOWER,
    ITEMS,
    TREND,
    USER_TOWER,
    USERS,
    Base,
    BaseStore,
    Items,
    OnlineSettings,
    OpenBase,
    Towers,
    pack_items,
    pack_users,
)
from contracts.chain import Entry
from contracts.deltas import Changes, Delta
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.reference import REFERENCE, pack_reference
from contracts.rows import RING, Row, RowTable
from contracts.shards import Rebuild, Shard

CUT = 1_507_000_000_000  # ms: the watermark of every tiny base's cut
MINUTE = 60_000
NO_FEATURES = FeatureSpec()
SOME_FEATURES = FeatureSpec(
    (DiscreteFeature("device", ("phone", "desktop")), DiscreteFeature("country", ("BR", "PT", "US"))),
    (ContinuousFeature("hour", 12.0, 6.0),),
)


@dataclass(frozen=True)
class Tiny:
    """How a tiny base comes out; the same values give the same bytes."""

    base_id: str = "tiny"
    users: int = 20
    items: int = 40
    partitions: int = 2
    width: int = 8
    seed: int = 0
    context: FeatureSpec = SOME_FEATURES
    online: OnlineSettings = field(default_factory=lambda: OnlineSettings(bias_weight=0.5))
    trending: int = 3
    cut_watermark: int = CUT
    item_name: str = "i"
    content: FeatureSpec = NO_FEATURES


def tiny_base(layout: Layout, tiny: Tiny = Tiny()) -> OpenBase:
    """Write the base under `layout` (or find it there) and open it."""
    rng = np.random.default_rng(tiny.seed)
    items = item_side(rng, tiny.items, tiny.width, tiny.item_name)
    rows = {f"u{n}": random_row(rng, tiny.width, items.ids, CUT - MINUTE * n) for n in range(tiny.users)}
    tower = user_tower(rng, tiny.width, tiny.context)
    common = unit(rng, tiny.width)
    files = {
        DENSE: pack({"nothing": np.zeros(1, np.float32)}),
        USERS: pack_users(common, rows, tiny.width),
        REFERENCE: pack_reference(common, RowTable.of(rows, tiny.width)),
        ITEMS: pack_items(items),
        TREND: pack({"items": items.ids[: tiny.trending], "counts": np.linspace(1, 5, tiny.trending)}),
        USER_TOWER: tower,
        ITEM_TOWER: user_tower(rng, tiny.width, tiny.content, 1.0, "item_vector"),
    }
    if tiny.content != NO_FEATURES:
        codes = np.arange(tiny.items)[:, np.newaxis] % [len(f.values) + 1 for f in tiny.content.discrete]
        numbers = np.zeros((tiny.items, len(tiny.content.continuous)), np.float32)
        files[CONTENT] = pack({"codes": codes.astype(np.int64), "numbers": numbers})
    return BaseStore(layout).write(_manifest(tiny), files)


def rewrite(base: OpenBase, base_id: str, files: dict[str, bytes]) -> OpenBase:
    """Write a copy of a base under another id, some of its files others."""
    kept = {file.name: base.file(file.name) for file in base.manifest.files}
    return BaseStore(base.layout).write(msgspec.structs.replace(base.manifest, base_id=base_id), {**kept, **files})


def item_side(rng: np.random.Generator, count: int, width: int, name: str = "i") -> Items:
    """Return items `i0`, `i1`, ... with vectors of length 1 and small biases."""
    vectors = rng.normal(size=(count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    embeddings = rng.normal(size=(count, width)).astype(np.float32)
    return Items([f"{name}{n}" for n in range(count)], embeddings, vectors, rng.normal(size=count).astype(np.float32))


def random_row(rng: np.random.Generator, width: int, item_ids: list[str], last_event_time: int) -> Row:
    """Return a row with a few clicked items in its ring."""
    clicked = list(dict.fromkeys(item_ids[n] for n in rng.integers(len(item_ids), size=4)))
    return Row(unit(rng, width) * np.float32(0.5), len(clicked), last_event_time, tuple(clicked)[-RING:])


def unit(rng: np.random.Generator, width: int) -> Floats:
    """Return a random direction, float32 [width]."""
    vector = rng.normal(size=width)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def user_tower(
    rng: np.random.Generator, width: int, spec: FeatureSpec, temperature: float = 0.1, output: str = "user_vector"
) -> bytes:
    """Return a tower as ONNX: h = id_embedding + codes A + numbers B; its vector is h / |h| / temperature.

    An input for features that `spec` lacks is absent, as in a tower that the trainer exports.
    """
    inputs, nodes, weights, last = [_input("id_embedding", TensorProto.FLOAT, width)], [], [], "id_embedding"
    for name, count, kind in (
        ("codes", len(spec.discrete), TensorProto.INT64),
        ("numbers", len(spec.continuous), TensorProto.FLOAT),
    ):
        if count:
            inputs.append(_input(name, kind, count))
            matrix = (rng.normal(size=(count, width)) * 0.1).astype(np.float32)
            weights.append(numpy_helper.from_array(matrix, f"{name}_weights"))
            nodes += [
                helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
                helper.make_node("MatMul", [f"{name}_float", f"{name}_weights"], [f"{name}_part"]),
                helper.make_node("Add", [last, f"{name}_part"], [f"with_{name}"]),
            ]
            last = f"with_{name}"
    weights.append(numpy_helper.from_array(np.array(temperature, dtype=np.float32), "temperature"))
    nodes += [
        helper.make_node("LpNormalization", [last], ["direction"], axis=1, p=2),
        helper.make_node("Div", ["direction", "temperature"], [output]),
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", width])]
    graph = helper.make_graph(nodes, "user_tower", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def stand(layout: Layout, base: OpenBase, state: rebases.State) -> None:
    """Put on record where a base stands on its way to being served."""
    chain, name = rebases.chain(layout, base.manifest.base_id), base.manifest.base_id
    record = rebases.Rebase(name, base.digest, state, "", "", 0, 0, 0, 0, 0, 0, "someone", "a test", 0)
    chain.create(chain.prepare(chain.head(), record, {}))


@dataclass(frozen=True)
class Hits:
    """What the validation records of a delta say: clicks, and hits among them of both arms."""

    clicks: int
    served: int
    frozen: int


def append_delta(
    layout: Layout, base: OpenBase, partition: int, changes: Changes, samples: int = 1, hits: Hits | None = None
) -> Entry[Delta]:
    """Append one delta of `samples` samples to the chain of a partition, half an hour after the one before."""
    chain = deltas.chain(layout, base.manifest.base_id, partition)
    head = chain.head()
    body = next_body(base, head, partition, samples)
    files = {deltas.ROWS: deltas.encode(changes, changes.common.shape[0])}
    if hits:
        files[deltas.VALIDATION] = validation.encode(block_scores(body, hits))
    entry = chain.prepare(head, body, files)
    chain.create(entry)
    return entry


def block_scores(body: Delta, hits: Hits) -> list[validation.BlockScore]:
    """Return the records of one block: all clicks, and as many on another slice, which must not be counted twice."""
    arms: list[tuple[Literal["served", "frozen"], int]] = [("served", hits.served), ("frozen", hits.frozen)]
    return [
        validation.BlockScore(
            base_id=body.base_id,
            partition=body.partition,
            first_ordinal=body.first_ordinal,
            next_ordinal=body.next_ordinal,
            watermark=body.watermark,
            served_version=0,
            delta=0,
            arm=arm,
            slice=part,
            k=20,
            samples=hits.clicks,
            known=hits.clicks,
            hits=found,
            loss=0.0,
        )
        for arm, found in arms
        for part in ("all", "active")
    ]


def next_body(base: OpenBase, head: Entry[Delta] | None, partition: int, samples: int = 1) -> Delta:
    """Return the body of a delta that follows `head` (None: the base)."""
    manifest = base.manifest
    first, watermark = (
        (head.body.next_ordinal, head.body.watermark) if head else (manifest.cut[partition], manifest.cut_watermark)
    )
    return Delta(
        base_id=manifest.base_id,
        base_digest=base.digest,
        topic=manifest.topic,
        partition=partition,
        partitions=manifest.partitions,
        first_ordinal=first,
        next_ordinal=first + samples,
        watermark=watermark + 30 * MINUTE,
        first_event_time=watermark + MINUTE if samples else 0,
        last_event_time=watermark + 29 * MINUTE if samples else 0,
        width=manifest.towers.width,
        trend_t0=manifest.trend_t0,
        samples=samples,
        learned=samples,
        trend_only=0,
        set_aside=0,
        touched_rows=samples,
    )


def random_changes(base: OpenBase, partition: int, seed: int, users: int = 3) -> Changes:
    """Return what a delta could bring: rows of users of the partition (known ones and new), clicks, a common row."""
    rng = np.random.default_rng((seed, partition))
    width, items = base.manifest.towers.width, base.items.ids
    pool = [f"{kind}{n}" for kind in ("u", "new") for n in range(100)]
    mine = [user for user in pool if partition_of(user, base.manifest.partitions) == partition]
    when = base.manifest.cut_watermark + seed * 30 * MINUTE
    rows = {str(user): random_row(rng, width, items, when) for user in rng.choice(mine, size=users, replace=False)}
    clicked = [str(item) for item in rng.choice([*items, "stranger1", "stranger2"], size=4, replace=False)]
    one = trend.weight(when, base.manifest.trend_t0, base.manifest.online.half_life_ms)
    return Changes(unit(rng, width), seed + 1, rows, trend={item: one * (n + 1) for n, item in enumerate(clicked)})


def append_round(layout: Layout, base: OpenBase, seed: int, hits: Hits | None = None) -> None:
    """Append one random delta to every partition."""
    for partition in range(base.manifest.partitions):
        append_delta(layout, base, partition, random_changes(base, partition, seed), hits=hits)


def with_row(changes: Changes, user: str, row: Row) -> Changes:
    """Return the changes with one more row."""
    return replace(changes, rows={**changes.rows, user: row})


def append_shard(layout: Layout, topic: str, partition: int, records: int, samples: int, watermark: int) -> None:
    """Append the manifest of a shard (and no samples file) that covers so many records and samples."""
    chain = shards.chain(layout, topic, partition)
    head = chain.head()
    offset, ordinal = (head.body.next_offset, head.body.next_ordinal) if head else (0, 0)
    body = Shard(
        topic=topic,
        topic_id="id",
        partition=partition,
        partitions=2,
        first_offset=offset,
        next_offset=offset + records,
        first_ordinal=ordinal,
        next_ordinal=ordinal + samples,
        watermark=watermark,
        first_event_time=watermark,
        last_event_time=watermark,
        records=records,
        read={},
        emitted={},
        rebuild=Rebuild(0, -1),
    )
    chain.create(chain.prepare(head, body, {}))


def _manifest(tiny: Tiny) -> Base:
    return Base(
        base_id=tiny.base_id,
        parent="",
        parent_digest="",
        topic="events",
        topic_id="id",
        partitions=tiny.partitions,
        cut=tuple(100 + n for n in range(tiny.partitions)),
        cut_watermark=tiny.cut_watermark,
        days=("2017-10-01",),
        day_zone="UTC",
        towers=Towers(tiny.width, 1, "cosine", 0.1, tiny.context, tiny.content),
        online=tiny.online,
        trend_t0=tiny.cut_watermark,
        cpu_family="any",
        seed=tiny.seed,
        metrics={},
    )


def _input(name: str, kind: int, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["n", width])


def online(base: OpenBase, **changed: float) -> OnlineSettings:
    """Return the base's online settings with some of them changed."""
    return msgspec.structs.replace(base.manifest.online, **changed)


def serve(layout: Layout, base: OpenBase, holds: tuple[served.Hold, ...] = (), **changed: Any) -> Entry[served.Served]:
    """Create the next served manifest by hand: the heads of all delta chains, no vector store, no gates.

    `changed`: what of its body is otherwise.
    """
    manifest = base.manifest
    heads = {n: deltas.chain(layout, manifest.base_id, n).head() for n in range(manifest.partitions)}
    positions = tuple(
        served.Position(n, head.number, head.digest, head.body.next_ordinal, head.body.watermark)
        if head
        else served.Position(n, 0, "", manifest.cut[n], manifest.cut_watermark)
        for n, head in heads.items()
    )
    chain = served.chain(layout)
    body = served.Served(
        base_id=manifest.base_id,
        base_digest=base.digest,
        user_tower_sha256=base.sha256(USER_TOWER),
        item_tower_sha256=base.sha256(ITEM_TOWER),
        collections=("nowhere",),
        positions=positions,
        holds=holds,
        trend_time=max(position.watermark for position in positions),
        first_event_time=manifest.cut_watermark,
        last_event_time=manifest.cut_watermark,
        gates=(),
        action="publish",
        content_of=chain.head_number() + 1,
        who="test",
        why="",
        created_at=0,
    )
    entry = chain.prepare(chain.head(), msgspec.structs.replace(body, **changed), {})
    chain.create(entry)
    return entry
