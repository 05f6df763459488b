"""Gates: what must never be served is refused in words, and what was served stays served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas, served
from contracts.arrays import pack
from contracts.bases import ITEMS, TREND, USERS, OpenBase, pack_items, pack_users
from contracts.chain import Entry
from contracts.deltas import Changes, Delta
from contracts.errors import PublishRefused
from contracts.layout import Layout
from contracts.rows import Row
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from tests.support.bases import (
    Tiny,
    append_delta,
    append_round,
    next_body,
    random_changes,
    rewrite,
    tiny_base,
    with_row,
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    """Return a base that is served with one delta in each partition."""
    made = tiny_base(layout)
    append_round(layout, made, 1)
    publish(layout)
    return made


def publish(layout: Layout) -> None:
    publish_once(layout, PublisherSettings(), Order("someone", "a test"))


def refusal(layout: Layout) -> str:
    before = served.head(layout)
    with pytest.raises(PublishRefused) as raised:
        publish(layout)
    assert raised.value.exit_code == 1
    assert served.head(layout) == before
    return str(raised.value)


def append(layout: Layout, base: OpenBase, change: Callable[[Delta], Delta], skip: bool = False) -> Entry[Delta]:
    """Append a delta of partition 0 with a changed body; `skip`: with a parent that is not the head."""
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    head = chain.head()
    assert head is not None
    body = change(next_body(base, head, 0))
    after = replace(head, digest="0" * 64) if skip else head
    entry = chain.prepare(after, body, {deltas.ROWS: deltas.encode(random_changes(base, 0, 2), 8)})
    chain.create(entry)
    return entry


def test_a_delta_of_another_base_is_refused(layout: Layout, base: OpenBase) -> None:
    append(layout, base, lambda body: msgspec.structs.replace(body, base_digest="0" * 64))
    assert "contiguity: partition 0: delta 2 was made on another base" in refusal(layout)


def test_a_delta_with_another_parent_is_refused(layout: Layout, base: OpenBase) -> None:
    append(layout, base, lambda body: body, skip=True)
    assert "delta 2 does not follow the delta applied before it" in refusal(layout)


def test_a_delta_that_leaves_a_gap_in_samples_is_refused(layout: Layout, base: OpenBase) -> None:
    append(layout, base, lambda body: msgspec.structs.replace(body, first_ordinal=body.first_ordinal + 1))
    assert "delta 2 starts at sample 102, not at 101" in refusal(layout)


def test_a_delta_that_goes_back_in_samples_is_refused(layout: Layout, base: OpenBase) -> None:
    append(layout, base, lambda body: msgspec.structs.replace(body, next_ordinal=50))
    assert "position: partition 0 goes back in samples" in refusal(layout)


@pytest.mark.parametrize("field", ["width", "topic", "partition", "partitions", "trend_t0"])
def test_a_delta_under_another_contract_is_refused_and_the_field_is_named(
    layout: Layout, base: OpenBase, field: str
) -> None:
    value = "elsewhere" if field == "topic" else 8 if field != "width" else 16
    append(layout, base, lambda body: msgspec.structs.replace(body, **{field: value}))
    assert f"contract: delta 2 of partition 0 has another {field} than the base" in refusal(layout)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_no_finite_number_is_refused_and_the_user_named(
    layout: Layout, base: OpenBase, number: float
) -> None:
    bad = Row(np.array([0, 0, number, 0, 0, 0, 0, 0], dtype=np.float32), 1, 0, ())
    append_delta(layout, base, 1, with_row(random_changes(base, 1, 2), "u\N{SNOWMAN}", bad))
    assert "finite: delta 2 of partition 1: 1 rows are not finite, the first is that of user 'u☃'" in refusal(layout)


def test_a_common_row_that_is_no_number_is_refused(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, Changes(np.full(8, np.nan, dtype=np.float32), 1))
    assert "the common row is not finite" in refusal(layout)


@pytest.mark.parametrize("count", [np.nan, np.inf, -1.0])
def test_an_impossible_trend_count_is_refused(layout: Layout, base: OpenBase, count: float) -> None:
    append_delta(layout, base, 0, replace(random_changes(base, 0, 2), trend={"i7": count}))
    assert "1 trend counts are impossible, the first is that of item 'i7'" in refusal(layout)


def unusable(base: OpenBase, part: str) -> dict[str, bytes]:
    """Return files of a base in which one part holds a number that is none."""
    bad = np.full(8, np.nan, dtype=np.float32)
    vectors, biases = base.items.vectors.copy(), base.items.biases.copy()
    vectors[7, 3], biases[5] = np.nan, np.inf
    rows = {**base.rows, "u7": replace(base.rows["u7"], own=bad)}
    files = {
        "common": {USERS: pack_users(bad, base.rows, 8)},
        "rows": {USERS: pack_users(base.common, rows, 8)},
        "vectors": {ITEMS: pack_items(replace(base.items, vectors=vectors))},
        "biases": {ITEMS: pack_items(replace(base.items, biases=biases))},
        "trend": {TREND: pack({"items": ["i0", "i1"], "counts": np.array([1.0, -1.0])})},
    }
    return files[part]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("common", "the common row is not finite"),
        ("rows", "1 rows are not finite, the first is that of user 'u7'"),
        ("vectors", "1 vectors are not finite, the first is that of item 'i7'"),
        ("biases", "1 biases are not finite, the first is that of item 'i5'"),
        ("trend", "1 trend counts are impossible, the first is that of item 'i1'"),
    ],
)
def test_a_base_with_a_number_that_is_none_is_never_shown(
    layout: Layout, base: OpenBase, part: str, words: str
) -> None:
    other = rewrite(base, "other", unusable(base, part))
    before = served.head(layout)
    with pytest.raises(PublishRefused) as raised:
        publish_once(layout, PublisherSettings(), Order("someone", "a test", other.manifest.base_id))
    assert f"base other was not published: base: {words}" in str(raised.value)
    assert served.head(layout) == before


def test_a_delta_with_a_flipped_bit_is_refused_by_name(layout: Layout, base: OpenBase) -> None:
    entry = append_delta(layout, base, 1, random_changes(base, 1, 2))
    path = layout.deltas("tiny", 1) / entry.files[0].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said = refusal(layout)
    assert "finite: delta 2 of partition 1" in said
    assert str(path) in said


def test_a_manifest_with_a_flipped_bit_is_refused_by_name(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 1, random_changes(base, 1, 2))
    path = layout.deltas("tiny", 1) / f"{2:020d}.json"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert str(path) in refusal(layout)


def test_a_chain_that_lost_what_is_served_is_refused(layout: Layout, base: OpenBase) -> None:
    (layout.deltas("tiny", 0) / f"{1:020d}.json").unlink()
    append_delta(layout, base, 1, random_changes(base, 1, 2))
    said = refusal(layout)
    assert "position: partition 0 ends at delta 0, 1 is served" in said


def test_a_chain_that_was_made_anew_is_refused(layout: Layout, base: OpenBase) -> None:
    for path in layout.deltas("tiny", 0).iterdir():
        path.unlink()
    for seed in (5, 6):
        append_delta(layout, base, 0, random_changes(base, 0, seed), samples=3)
    assert "contiguity: partition 0: delta 1 is not the one that is served" in refusal(layout)


def test_a_base_with_a_flipped_bit_is_never_served(layout: Layout, base: OpenBase) -> None:
    other = tiny_base(layout, Tiny("other", seed=1))
    path = layout.base("other") / "users.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    before = served.head(layout)
    with pytest.raises(Exception, match=r"other/users\.safetensors is damaged at its digest"):
        publish_once(layout, PublisherSettings(), Order("someone", "a test", other.manifest.base_id))
    assert served.head(layout) == before


def test_all_faults_are_told_at_once(layout: Layout, base: OpenBase) -> None:
    append(layout, base, lambda body: msgspec.structs.replace(body, width=16, first_ordinal=0))
    said = refusal(layout)
    assert "contiguity:" in said
    assert "contract:" in said
