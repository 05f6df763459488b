"""Limits: what is refused for how it looks or did, that it stays on record, and that only a reason overrules it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas, served
from contracts.bases import BaseStore, OpenBase
from contracts.deltas import Changes
from contracts.errors import PublishRefused, UsageError
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.recall import Recall
from contracts.reference import REFERENCE, reference_of
from contracts.rows import Row
from contracts.served import Gate
from publisher import limits
from publisher.candidate import find
from publisher.measured import histogram, measure
from publisher.promotion import Order, publish_once
from publisher.settings import Limits, PublisherSettings
from tests.support.bases import (
    CUT,
    MINUTE,
    Hits,
    Tiny,
    append_delta,
    append_round,
    next_body,
    random_changes,
    tiny_base,
)

ORDER = Order("someone", "a test")
DEFAULT = Limits()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    """Return a base that is served with one delta in each partition."""
    made = tiny_base(layout)
    append_round(layout, made, 1)
    publish_once(layout, PublisherSettings(), ORDER)
    return made


def verdicts(
    layout: Layout, within: Limits = DEFAULT, base_id: str | None = None, now: int = CUT * 2
) -> dict[str, Gate]:
    candidate = find(layout, base_id)
    return {gate.name: gate for gate in limits.check(candidate, measure(candidate), within, now)}


def known_users(base: OpenBase, partition: int) -> list[str]:
    return [user for user in base.rows if partition_of(user, base.manifest.partitions) == partition]


def test_a_version_within_the_limits_passes_them_all_in_words(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 2, Hits(400, 90, 80))
    found = verdicts(layout)
    assert tuple(found) == limits.NAMES
    assert all(gate.passed and gate.detail for gate in found.values())
    assert "800 clicks" in found["recall"].detail
    assert "0.2250, frozen base 0.2000" in found["recall"].detail


def test_rows_that_run_away_are_refused(layout: Layout, base: OpenBase) -> None:
    user = known_users(base, 0)[0]
    append_delta(layout, base, 0, Changes(base.common, 1, {user: Row(base.common * 11, 1, CUT, ())}))
    gate = verdicts(layout)["norms"]
    assert not gate.passed
    assert "own rows are up to 11.00 long (99 %), limit 10.00 (20 times the base's 0.50)" in gate.detail


def test_a_common_row_that_runs_away_is_refused(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, replace(random_changes(base, 0, 2), common=base.common * 101))
    assert not verdicts(layout)["norms"].passed
    assert verdicts(layout, Limits(most_common_norm=102))["norms"].passed


def test_rows_at_the_cap_are_refused_also_on_a_base_that_has_no_sample(layout: Layout) -> None:
    old = tiny_base(layout, Tiny("with-a-sample"))
    kept = {file.name: old.file(file.name) for file in old.manifest.files if file.name != REFERENCE}
    base = BaseStore(layout).write(msgspec.structs.replace(old.manifest, base_id="without"), kept)
    assert reference_of(base) is None
    append_delta(layout, base, 0, Changes(base.common, 1, {"u1": Row(base.common * 10, 1, CUT, ())}))
    found = verdicts(layout, base_id="without")
    assert not found["norms"].passed
    assert "100% of rows are at the cap" in found["norms"].detail
    assert found["angles"].detail == "not measured"


def test_users_who_turned_away_from_their_base_rows_are_refused(layout: Layout, base: OpenBase) -> None:
    turned = {user: Row(-3 * base.common, 1, CUT, ()) for user in known_users(base, 0)[:3]}
    append_delta(layout, base, 0, Changes(base.common, 1, turned))
    gate = verdicts(layout)["angles"]
    assert not gate.passed
    assert gate.detail.startswith("3 users turned by 1")
    still = {user: base.rows[user] for user in known_users(base, 1)[:5]}
    append_delta(layout, base, 1, Changes(base.common, 1, still))
    gate = verdicts(layout)["angles"]
    assert gate.passed
    assert gate.detail.startswith("8 users turned by 0.0 degrees")


def test_the_sample_of_a_large_base_stands_for_all_of_it(layout: Layout) -> None:
    base = tiny_base(layout, Tiny("large", users=9000))
    reference = reference_of(base)
    assert reference is not None
    assert len(reference.own) == len(reference.norms) == 8192
    assert np.array_equal(reference.common, base.common)
    sample = list(zip(reference.users, reference.own, strict=True))[::100]
    assert all(np.array_equal(own, base.rows[user].own) for user, own in sample)


def test_more_or_fewer_rows_than_forecast_are_refused(layout: Layout, base: OpenBase) -> None:
    for seed in range(2, 6):
        append_round(layout, base, seed)
    publish_once(layout, PublisherSettings(), ORDER)
    within = Limits(forecast_rows=0)
    assert "forecast" in verdicts(layout, within)["touched"].detail
    append_delta(layout, base, 0, random_changes(base, 0, 7), samples=4)
    chain = deltas.chain(layout, "tiny", 1)
    body = next_body(base, chain.head(), 1)
    entry = chain.prepare(
        chain.head(),
        msgspec.structs.replace(body, touched_rows=50),
        {deltas.ROWS: deltas.encode(random_changes(base, 1, 7), 8)},
    )
    chain.create(entry)
    gate = verdicts(layout, within)["touched"]
    assert not gate.passed
    assert gate.detail == "54 rows by 5 samples, forecast 5 (limit: 4 times more or fewer)"
    assert verdicts(layout)["touched"].passed  # so few rows are no sign of anything


@pytest.mark.parametrize(
    ("hits", "passed"),
    [
        (Recall(499, 0, 400, 20), True),
        (Recall(500, 0, 400, 20), False),
        (Recall(10_000, 1000, 1000, 20), True),
        (Recall(10_000, 1000, 1080, 20), True),
        (Recall(10_000, 1000, 1100, 20), False),
        (Recall(10_000, 2000, 1000, 20), True),
    ],
)
def test_recall_below_the_frozen_base_is_refused_when_it_is_no_chance(hits: Recall, passed: bool) -> None:
    assert limits.recall(hits, Limits()).passed is passed


def test_an_older_base_and_a_clock_that_is_ahead_are_refused(layout: Layout, base: OpenBase) -> None:
    tiny_base(layout, Tiny("older", cut_watermark=CUT - 3 * 60 * MINUTE, seed=1))
    gate = verdicts(layout, base_id="older")["age"]
    assert (gate.passed, gate.detail) == (False, "the base is 3.0 h older than the one that is served")
    append_round(layout, base, 2)
    gate = verdicts(layout, now=CUT - 60 * MINUTE)["age"]
    assert (gate.passed, gate.detail) == (False, "the newest click is 2.0 h ahead of this machine's clock")
    assert verdicts(layout, now=CUT)["age"].passed


def test_more_bytes_than_the_limit_are_refused(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 2)
    assert not verdicts(layout, Limits(most_bytes=1000))["size"].passed


def test_a_refused_version_stays_on_record_once_and_the_old_one_stays_served(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 2, Hits(400, 10, 80))
    before = served.head(layout)
    for _ in range(3):
        with pytest.raises(PublishRefused, match=r"recall: recall@20 0\.0250, frozen base 0\.2000") as raised:
            publish_once(layout, PublisherSettings(), ORDER)
    assert "--force --why" in raised.value.hint
    assert served.head(layout) == before
    chain = served.refused(layout)
    assert chain.verify() == 1
    refusal = chain.read(1).body
    assert (refusal.number, refusal.who, refusal.base_id) == (2, "someone", "tiny")
    assert [gate.name for gate in refusal.gates if not gate.passed] == ["recall"]
    append_round(layout, base, 3, Hits(400, 10, 80))
    with pytest.raises(PublishRefused):
        publish_once(layout, PublisherSettings(), ORDER)
    assert chain.verify() == 2


def test_a_reason_overrules_a_limit_and_goes_on_record(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 2, Hits(400, 10, 80))
    with pytest.raises(UsageError, match="not forced without a reason"):
        publish_once(layout, PublisherSettings(), Order("someone", "", force=True))
    entry = publish_once(layout, PublisherSettings(), Order("someone", "the control was wrong", force=True))
    assert entry is not None
    assert entry.body.why == "the control was wrong"
    assert [gate.name for gate in entry.body.gates if not gate.passed] == ["recall"]


def test_no_reason_overrules_what_readers_could_not_use(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, replace(random_changes(base, 0, 2), common=base.common * np.float32("nan")))
    with pytest.raises(PublishRefused, match="common row is not finite") as raised:
        publish_once(layout, PublisherSettings(), Order("someone", "never mind", force=True))
    assert "--force" not in raised.value.hint


def test_a_histogram_has_ten_bars() -> None:
    assert histogram(np.array([0.0, 0.5, 0.5, 9.9, 50.0]), 10.0) == "█        ▆"
    assert histogram(np.zeros(0), 1.0) == " " * 10
