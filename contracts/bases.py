"""Boundary 4: the base, a directory that a full retrain publishes: towers, user rows, items, trend table, settings.

Everything a consumer needs is in it. It is finished by a rename; `base.json`, sealed, names and digests every file.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from contracts import durable, sealed
from contracts.arrays import Arrays, Column, Floats, pack
from contracts.chain import DataFile
from contracts.errors import Corrupt, MissingInput, UnknownSchema
from contracts.features import FeatureSpec
from contracts.layout import Layout
from contracts.partitions import PARTITIONER
from contracts.rows import Row, RowTable, pack_table, unpack_table

SCHEMA = "freshet.base/2"
OLDER = ("freshet.base/1",)  # without `own_scale`, and without some online settings
MANIFEST = "base.json"
CONTENT = "content.safetensors"
DENSE, USERS, ITEMS, TREND = "dense.safetensors", "users.safetensors", "items.safetensors", "trend.safetensors"
USER_TOWER, USER_TOWER_INT8, ITEM_TOWER = "user_tower.onnx", "user_tower_int8.onnx", "item_tower.onnx"
CONTEXT_ENCODER, IMPORT = "context_encoder.onnx", "import.json"  # of a model that somebody else trained


Count = Annotated[int, Meta(ge=1)]
NotNegativeCount = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class Towers(msgspec.Struct, frozen=True):
    """The shape of both towers. cosine: the score is cos(user, item) / temperature + bias; dot: user . item + bias."""

    width: Count
    hidden: Count
    score: Literal["cosine", "dot"]
    temperature: Positive
    context: FeatureSpec
    content: FeatureSpec


class OnlineSettings(msgspec.Struct, frozen=True):
    """How the online update learns on this base; chosen on the day before, never on the day that is judged.

    score = user . item + bias_weight * bias + beta * log(trend + floor)
    """

    common_step: float = 0.1
    common_steps: int = 3
    own_step: float = 0.1
    learning_temperature: Positive = 4.0
    half_life_ms: Count = 1_800_000
    beta: NotNegative = 1.0
    floor: Positive = 0.3
    bias_weight: float = 0.0
    block_samples: Count = 256
    block_ms: Count = 300_000
    negatives: int = 0
    norm_cap: float = 10.0
    admit_after: int = 1
    row_ttl_ms: Count = 7_776_000_000
    most_clicks: Count = 32


class Base(msgspec.Struct, frozen=True):
    """`base.json`. `cut`: next ordinal by partition, all before it is in this base; `days`: those it was trained on.

    `parent` is the full base it was warm-started from (empty: from scratch), never an online branch. Own rows stand in
    the users file as they were learned; whoever answers with them multiplies them by `own_scale` (they are overfitted).
    """

    base_id: str
    parent: str
    parent_digest: str
    topic: str
    topic_id: str
    partitions: Count
    cut: tuple[NotNegativeCount, ...]
    cut_watermark: int
    days: tuple[str, ...]
    day_zone: str
    towers: Towers
    online: OnlineSettings
    trend_t0: int
    cpu_family: str
    seed: int
    metrics: dict[str, float]
    own_scale: NotNegative = 1.0
    files: tuple[DataFile, ...] = ()
    partitioner: str = PARTITIONER
    schema: str = SCHEMA


@dataclass(frozen=True)
class Items:
    """The frozen item side: ids, id embeddings (the table's rows), vectors (tower outputs), each float32 [n, width],
    and biases, float32 [n]."""

    ids: list[str]
    embeddings: Floats
    vectors: Floats
    biases: Floats


class BaseStore:
    """The bases of one run folder."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def ids(self) -> list[str]:
        """Return the ids of all finished bases, sorted."""
        folder = self.layout.bases()
        return sorted(path.parent.name for path in folder.glob(f"[!.]*/{MANIFEST}")) if folder.exists() else []

    def write(self, base: Base, files: dict[str, bytes]) -> OpenBase:
        """Write all files into a directory beside and rename it to its name: the commit of a full retrain.

        Of several that write the same base at once one wins, whole; a base that exists already under this id is left as
        it is and returned. Raises `Corrupt` for a number that is out of range or that JSON cannot hold.
        """
        parse(msgspec.json.encode(base), "the new base")  # what nobody could read must not be committed
        unfinished = self.layout.unfinished_base(base.base_id, secrets.token_hex(6))
        durable.make_directory(unfinished)
        try:
            named = []
            for name, data in sorted(files.items()):
                durable.write_file(unfinished / name, data)
                named.append(DataFile(name, len(data), sealed.digest(data)))
            document = msgspec.json.encode(msgspec.structs.replace(base, files=tuple(named)), order="sorted")
            durable.write_file(unfinished / MANIFEST, sealed.seal(document))
            durable.publish_directory(unfinished, self.layout.base(base.base_id))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return self.open(base.base_id)

    def open(self, base_id: str) -> OpenBase:
        """Open a base. Raises `MissingInput`, `Corrupt`, `UnknownSchema`."""
        try:
            return self.open_at(self.layout.base(base_id))
        except FileNotFoundError:
            known = ", ".join(self.ids()) or "none yet: run `freshet trainer retrain`"
            raise MissingInput(f"no base {base_id!r} under {self.layout.bases()}", hint=f"Bases: {known}.") from None

    def open_at(self, folder: Path) -> OpenBase:
        """Open what stands in a folder, for its manifest alone if that is hidden. Raises as `open` does."""
        path = folder / MANIFEST
        document, seal = sealed.unseal(path.read_bytes(), str(path))
        return OpenBase(parse(document, str(path)), seal, self.layout)


def parse(document: bytes, what: str) -> Base:
    """Decode the document inside `base.json`. Raises `Corrupt`, `UnknownSchema`."""
    try:
        schema = msgspec.json.decode(document, type=dict[str, msgspec.Raw]).get("schema", msgspec.Raw(b'""'))
        if msgspec.json.decode(schema) not in (SCHEMA, *OLDER):
            raise UnknownSchema(f"{what} has schema {bytes(schema).decode()}, this version reads {SCHEMA!r}")
        base = msgspec.json.decode(document, type=Base)
    except ValueError as error:  # MsgspecError, UnicodeDecodeError
        raise Corrupt(what, str(error)) from None
    if len(base.cut) != base.partitions:
        raise Corrupt(what, f"its cut: {len(base.cut)} ordinals for {base.partitions} partitions")
    return base


@dataclass(frozen=True)
class OpenBase:
    """A finished base; each part is read when it is first asked for, its digest checked."""

    manifest: Base
    digest: str
    layout: Layout

    def file(self, name: str) -> bytes:
        """Return the verified bytes of one file. Raises `Corrupt`."""
        path = self.layout.base(self.manifest.base_id) / name
        named = next((file for file in self.manifest.files if file.name == name), None)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise Corrupt(str(path), "its whole: the file is missing") from None
        if named is None or sealed.digest(data) != named.sha256:
            raise Corrupt(str(path), "its digest")
        return data

    def has(self, name: str) -> bool:
        """Return whether the base has a file of this name."""
        return any(file.name == name for file in self.manifest.files)

    def sha256(self, name: str) -> str:
        """Return the digest of one file as the manifest names it."""
        return next(file.sha256 for file in self.manifest.files if file.name == name)

    def verify(self) -> None:
        """Check the digest of every file. Raises `Corrupt`."""
        for file in self.manifest.files:
            self.file(file.name)

    @cached_property
    def items(self) -> Items:
        """The item side."""
        arrays = Arrays(self.file(ITEMS), ITEMS)
        ids, width = arrays.texts("ids"), self.manifest.towers.width
        embeddings = arrays.floats("embeddings", len(ids), width)
        return Items(ids, embeddings, arrays.floats("vectors", len(ids), width), arrays.floats("biases", len(ids)))

    @cached_property
    def common(self) -> Floats:
        """The common row, float32 [width]."""
        return Arrays(self.file(USERS), USERS).floats("common", self.manifest.towers.width)

    @cached_property
    def rows(self) -> RowTable:
        """The rows of all users that the base knows, own rows scaled by `own_scale`: what answers and learns online."""
        table = unpack_table(Arrays(self.file(USERS), USERS), self.manifest.towers.width, USERS)
        return table.with_own(scaled(table.own, self.manifest.own_scale))

    @property
    def learned_own(self) -> Floats:
        """Own rows as the full retrain left them, float32 [n, width], in the order of `rows`: where the next goes on.

        Read anew each time: they are large, and seldom asked for.
        """
        return Arrays(self.file(USERS), USERS).floats("own", -1, self.manifest.towers.width)

    @property
    def learned_rows(self) -> RowTable:
        """The rows with `learned_own`."""
        return self.rows.with_own(self.learned_own)

    def told(self, **changes: object) -> OpenBase:
        """Return this base as if its manifest said something else of the same files; what was decoded is shared."""
        manifest = msgspec.structs.replace(self.manifest, **changes)
        other = replace(self, manifest=manifest)
        same = manifest.own_scale == self.manifest.own_scale
        rows = self.rows if same else self.rows.with_own(scaled(self.learned_own, manifest.own_scale))
        vars(other).update(items=self.items, common=self.common, rows=rows, trend=self.trend)
        return other

    @cached_property
    def trend(self) -> dict[str, float]:
        """Forward-decayed clicks per item at the cut, relative to `trend_t0`."""
        arrays = Arrays(self.file(TREND), TREND)
        ids = arrays.texts("items")
        return dict(zip(ids, arrays.doubles("counts", len(ids)).tolist(), strict=True))


def scaled(own: Floats, factor: float) -> Floats:
    """Return own rows, float32 [n, width], times `own_scale`."""
    return own if factor == 1.0 else own * np.float32(factor)


def pack_users(common: Floats, rows: Mapping[str, Row], width: int) -> bytes:
    """Return the users file."""
    return pack_user_table(common, RowTable.of(rows, width))


def pack_user_table(common: Floats, table: RowTable) -> bytes:
    """Return the users file of a table that is sorted by user id."""
    return pack({"common": common, **pack_table(table)})


def pack_items(items: Items) -> bytes:
    """Return the items file."""
    columns: dict[str, Column] = {
        "ids": items.ids,
        "embeddings": items.embeddings,
        "vectors": items.vectors,
        "biases": items.biases,
    }
    return pack(columns)


def cpu_family() -> str:
    """Name the processor family whose floating point gave the digests: vendor, family and widest vector unit."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 16)
    except OSError:
        return "unknown"
    found = {key: re.search(rf"^{key}\s*:\s*(.*)$", text, re.M) for key in ("vendor_id", "cpu family")}
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if re.search(rf"\b{flag}\b", text)), "plain")
    return " ".join([*(match.group(1).strip() for match in found.values() if match), widest])
