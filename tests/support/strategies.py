"""Any value of every boundary, as hypothesis strategies; every value is one that its encoder may be given."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from contracts.arrays import Floats
from contracts.bases import Base, OnlineSettings, Towers
from contracts.chain import DataFile
from contracts.deltas import Changes, Delta
from contracts.drift import Drift, Shift, Spread
from contracts.events import (
    EARLIEST,
    LATEST,
    MAX_TIMES_APART,
    Click,
    Context,
    Event,
    Item,
    Rejected,
    Request,
    Shown,
    Tick,
)
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from contracts.rows import RING, Row
from contracts.samples import Sample, Source
from contracts.served import Gate, Hold, Position, Served
from contracts.shards import DeadLetter, Rebuild, Shard
from contracts.validation import BlockScore

Struct = TypeVar("Struct", bound=msgspec.Struct)

texts = st.text(max_size=20)
ids = st.text(min_size=1, max_size=40)
feature_names = st.text("abcXYZ019_.-", min_size=1, max_size=12)
times = st.integers(EARLIEST, LATEST - 1)
counts = st.integers(0, 1 << 62)
small = st.integers(0, 5)
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
float64s = st.floats(allow_nan=False, allow_infinity=False)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
data_files = st.builds(DataFile, ids, counts, digests)

_BY_TYPE: dict[object, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(-(1 << 62), 1 << 62),
    float: float64s,
    dict[str, int]: st.dictionaries(texts, counts, max_size=3),
}


def any_of(struct: type[Struct], **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Struct]:
    """Return structs whose fields are of plain types but for the `special` ones; a new field is drawn by itself."""
    plain = {f.name: _plain(f.type) for f in msgspec.structs.fields(struct) if f.name not in special}
    return st.builds(struct, **{**plain, **special})


def _plain(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a plain type, or of one with a lower bound: `Annotated[float, Meta(gt=0)]`."""
    if get_origin(kind) is not Annotated:
        return _BY_TYPE[kind]
    plain, meta = get_args(kind)
    low = meta.ge if meta.ge is not None else meta.gt
    if plain is int:
        return st.integers(low if meta.gt is None else low + 1, 1 << 62)
    return st.floats(low, exclude_min=meta.ge is None, allow_nan=False, allow_infinity=False)


def tuples_of(strategy: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return short tuples."""
    return st.lists(strategy, max_size=most).map(tuple)


contexts = st.builds(
    Context,
    st.dictionaries(feature_names, texts, max_size=3),
    st.dictionaries(feature_names, float32s, max_size=3),
)
stages = st.sampled_from(["pre_rank", "rank"])
rejected = st.builds(Rejected, ids, stages)


@st.composite
def times_of_an_event(draw: st.DrawFn) -> dict[str, int]:
    """Return an event time and an ingest time that may go together."""
    event_time = draw(times)
    apart = draw(st.integers(-MAX_TIMES_APART, MAX_TIMES_APART))
    return {"event_time": event_time, "ingest_time": min(max(event_time + apart, EARLIEST), LATEST - 1)}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Return answered requests."""
    shown = tuples_of(st.builds(Shown, ids, st.integers(0, 100_000)))
    return Request(
        request_id=draw(ids),
        user_id=draw(ids),
        **draw(times_of_an_event()),
        context=draw(contexts),
        shown=draw(shown),
        rejected=draw(tuples_of(rejected)),
        arm=draw(texts),
        served_version=draw(counts),
    )


@st.composite
def clicks(draw: st.DrawFn) -> Click:
    """Return clicks."""
    return Click(
        user_id=draw(ids),
        item_id=draw(ids),
        **draw(times_of_an_event()),
        event_id=draw(texts),
        request_id=draw(texts),
        context=draw(contexts),
    )


ticks = st.builds(Tick, times)
catalogue_items = st.builds(Item, ids, times, contexts, times, times)
events: st.SearchStrategy[Event] = st.one_of(requests(), clicks(), ticks, catalogue_items)

samples = any_of(
    Sample,
    context=contexts,
    hard_negatives=tuples_of(rejected),
    joined=st.sampled_from(["direct", "request", "orphan", "late"]),
    source=any_of(Source),
)
tallies = st.dictionaries(texts, counts, max_size=3)
shards = any_of(
    Shard,
    read=tallies,
    emitted=tallies,
    rebuild=any_of(Rebuild, detector=st.dictionaries(texts, st.integers(-(1 << 62), 1 << 62), max_size=2)),
    windows=st.just(msgspec.UNSET) | st.dictionaries(texts, st.integers(-(1 << 62), 1 << 62), max_size=2),
    kind=st.sampled_from(["samples", "lost"]),
)
dead_letters = any_of(DeadLetter, value=st.binary(max_size=30).map(lambda value: value.decode("latin-1")))
deltas = any_of(Delta)
served = any_of(
    Served,
    collections=tuples_of(texts),
    positions=tuples_of(any_of(Position)),
    holds=tuples_of(any_of(Hold)),
    gates=tuples_of(any_of(Gate, passed=st.booleans())),
    action=st.sampled_from(["publish", "cut_over", "rollback"]),
)
_shifts = st.builds(Shift, st.floats(0, 1), st.floats(0, 1))
_spreads = any_of(Spread)
drifts = any_of(
    Drift,
    distance=st.none() | _spreads,
    angle=st.none() | _spreads,
    common_angle=st.floats(0, 180),
    popularity=st.none() | _shifts,
    discrete=st.dictionaries(texts, _shifts, max_size=3),
    continuous=st.dictionaries(texts, float64s, max_size=3),
    lacking=tuples_of(texts),
    schema=st.just("freshet.drift/1"),
)
block_scores = any_of(BlockScore, arm=st.sampled_from(["served", "frozen"]), schema=st.just("freshet.validation/1"))

feature_specs = st.builds(
    FeatureSpec,
    tuples_of(st.builds(DiscreteFeature, texts, tuples_of(texts))),
    tuples_of(any_of(ContinuousFeature)),
)
_plain_bases = any_of(
    Base,
    base_id=st.text("abc0-", min_size=1, max_size=12),
    partitions=st.just(1),
    cut=st.tuples(counts),
    days=tuples_of(texts),
    towers=any_of(Towers, score=st.sampled_from(["cosine", "dot"]), context=feature_specs, content=feature_specs),
    online=any_of(OnlineSettings),
    metrics=st.dictionaries(texts, float64s, max_size=3),
    files=st.just(()),
    schema=st.just("freshet.base/2"),
)
bases = st.builds(
    lambda base, cut: msgspec.structs.replace(base, partitions=len(cut), cut=cut),
    _plain_bases,
    st.lists(counts, min_size=1, max_size=3).map(tuple),
)


def vectors(width: int) -> st.SearchStrategy[Floats]:
    """Return rows of `width` numbers, of any bits but NaN."""
    return npst.arrays(np.float32, width, elements=st.floats(width=32, allow_nan=False))


def rows(width: int) -> st.SearchStrategy[Row]:
    """Return own rows."""
    return st.builds(Row, vectors(width), counts, times, tuples_of(texts, RING))


@st.composite
def changes(draw: st.DrawFn, width: int = 4, users: st.SearchStrategy[str] = texts) -> Changes:
    """Return contents of a delta; a user may stand in several of its parts, as the format allows."""
    return Changes(
        common=draw(vectors(width)),
        common_samples=draw(counts),
        rows=draw(st.dictionaries(users, rows(width), max_size=3)),
        tombstones=draw(st.sets(users, max_size=3)),
        trend=draw(st.dictionaries(texts, float64s, max_size=3)),
        admission=draw(st.dictionaries(users, counts, max_size=3)),
    )
