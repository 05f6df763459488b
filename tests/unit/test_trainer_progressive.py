"""Progressive validation on a base that can be computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.layout import Layout
from contracts.rows import Row
from contracts.validation import BlockScore
from tests.support.shards import Log, by_partition, click
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import train
from trainer.block_input import BlockEncoder
from trainer.progressive import BlockScorer, Served
from trainer.shard_feed import columns
from trainer.trend_counts import TrendCounts
from trainer.user_rows import OnlineRows

TODAY = MIDNIGHT + DAY_MS


class State(NamedTuple):
    rows: OnlineRows
    trend: TrendCounts

    def write(self, user: str, own: Floats, clicks: list[tuple[str, int]]) -> None:
        """Give a user a row after clicks, as the learner does."""
        slots = self.rows.slots([user])
        self.rows.admit([user], slots, [len(clicks)])
        self.rows.write(slots, own[None, :])
        codes = self.rows.items.of([item for item, _ in clicks])
        self.rows.clicked(slots * len(clicks), codes, np.array([time for _, time in clicks], dtype=np.int64))

    def commit(self) -> None:
        self.rows.commit()
        self.trend.commit()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> OpenBase:
    layout = Layout(tmp_path_factory.mktemp("progressive"))
    write_tastes(layout, Tastes(with_context=False))
    return train(layout)


def state(base: OpenBase, rows: dict[str, Row] | None = None, trend: dict[str, float] | None = None) -> State:
    """What was committed: these rows and counts over those of the base."""
    found = Changes(base.common, 0, rows or {}, trend=trend or {})
    online = OnlineRows(base, found, TODAY)
    return State(online, TrendCounts(base, online.items, base.trend, found.trend))


def score(base: OpenBase, at: State, *clicks: tuple[str, str], k: int = 3) -> dict[tuple[str, str], BlockScore]:
    """Score clicks (user, item) of one block, an hour into the second day."""
    samples = by_partition(Log(), [click(user, item, TODAY + 3_600_000 + n) for n, (user, item) in enumerate(clicks)])[
        0
    ]
    block = BlockEncoder(base).encode(columns(samples, 0))
    found = BlockScorer(base, 0, k).score(block, at.rows, at.trend, Served(4, TODAY))
    return {(record.arm, record.slice): record for record in found}


def frozen_order(base: OpenBase, user: str) -> list[str]:
    """All items for a user without features, best first, as the frozen base has them."""
    own = base.rows[user].own if user in base.rows else 0
    h = base.common + own
    scores = base.items.vectors @ (h / np.linalg.norm(h) / 0.1) + base.items.biases
    return [base.items.ids[at] for at in np.argsort(-scores)]


def unseen(base: OpenBase, user: str) -> list[str]:
    ring = base.rows[user].ring if user in base.rows else ()
    return [item for item in frozen_order(base, user) if item not in ring]


def known_user(base: OpenBase) -> str:
    return next(user for user, row in base.rows.items() if 2 <= len(row.ring) < 20)


def test_a_click_on_one_of_the_first_k_is_a_hit_and_on_the_next_one_a_miss(base: OpenBase) -> None:
    user = known_user(base)
    items = unseen(base, user)
    records = score(base, state(base), (user, items[0]), (user, items[2]), (user, items[3]))
    frozen = records["frozen", "all"]
    assert (frozen.hits, frozen.samples, frozen.known, frozen.delta) == (2, 3, 3, 0)
    assert records["served", "all"].delta == 4


def test_an_item_in_the_users_ring_is_not_shown_again_and_its_click_is_a_miss(base: OpenBase) -> None:
    user = known_user(base)
    again = base.rows[user].ring[-1]
    assert score(base, state(base), (user, again), k=len(base.items.ids) - 5)["frozen", "all"].hits == 0
    last = unseen(base, user)[-1]
    everything = len(base.items.ids) - len(base.rows[user].ring)
    assert score(base, state(base), (user, last), k=everything)["frozen", "all"].hits == 1
    assert score(base, state(base), (user, last), k=everything - 1)["frozen", "all"].hits == 0


def test_an_item_in_the_users_ring_is_a_miss_even_where_all_items_are_shown(base: OpenBase) -> None:
    user = known_user(base)
    records = score(base, state(base), (user, base.rows[user].ring[-1]), k=len(base.items.ids))
    assert (records["frozen", "all"].hits, records["served", "all"].hits) == (0, 0)


def test_a_score_that_is_no_number_is_a_miss(base: OpenBase) -> None:
    user = known_user(base)
    broken = {user: replace(base.rows[user], own=np.full(16, np.nan, np.float32))}
    records = score(base, state(base, broken), (user, unseen(base, user)[0]))
    assert (records["frozen", "all"].hits, records["served", "all"].hits) == (1, 0)


def test_a_click_on_an_item_that_the_base_does_not_know_counts_as_a_sample_and_a_miss(base: OpenBase) -> None:
    records = score(base, state(base), ("stranger", "news"), ("stranger", unseen(base, "stranger")[0]))
    frozen = records["frozen", "all"]
    assert (frozen.samples, frozen.known, frozen.hits) == (2, 1, 1)


def test_slices_tell_active_users_and_whether_the_base_knows_them(base: OpenBase) -> None:
    user, other = known_user(base), "new-today"
    rows = state(base)
    for name in (user, other):
        rows.write(name, np.zeros(16, np.float32), [("i0.0", TODAY + 60_000)])
    before = score(base, rows, (user, "i1.1"), (other, "i1.1"), ("stranger", "i1.1"))
    assert not {name for _, name in before} & {"active", "active_new", "active_known"}
    rows.commit()
    after = score(base, rows, (user, "i1.1"), (other, "i1.1"), ("stranger", "i1.1"), (other, "i1.2"))
    found = {name: after["served", name].samples for _, name in after if not name.startswith("age")}
    assert found == {"all": 4, "active": 3, "active_new": 2, "active_known": 1}


def test_yesterdays_clicks_make_nobody_active_today(base: OpenBase) -> None:
    user = known_user(base)
    assert base.rows[user].last_event_time < TODAY
    found = {name for _, name in score(base, state(base), (user, "i1.1"))}
    assert "all" in found
    assert not any(name.startswith("active") for name in found)


def test_the_served_arm_answers_with_committed_rows_and_the_frozen_arm_with_the_bases(base: OpenBase) -> None:
    user = known_user(base)
    wanted = unseen(base, user)[-1]
    vector = base.items.vectors[base.items.ids.index(wanted)]
    rows = state(base)
    rows.write(user, (vector * 50).astype(np.float32), [])
    assert score(base, rows, (user, wanted))["served", "all"].hits == 0
    rows.commit()
    records = score(base, rows, (user, wanted))
    assert (records["served", "all"].hits, records["frozen", "all"].hits) == (1, 0)
    assert records["served", "all"].loss < records["frozen", "all"].loss


def test_a_trending_item_is_ahead_in_the_served_arm_alone(base: OpenBase) -> None:
    wanted = unseen(base, "stranger")[-1]
    records = score(base, state(base, trend={wanted: 1e12}), ("stranger", wanted))
    assert (records["served", "all"].hits, records["frozen", "all"].hits) == (1, 0)


def test_scoring_changes_nothing(base: OpenBase) -> None:
    at = state(base, {"u1.0": Row(np.ones(16, np.float32), 1, TODAY, ("i0.0",))})
    first = score(base, at, ("u1.0", "i1.1"))
    assert score(base, at, ("u1.0", "i1.1")) == first
    assert not at.rows.fresh_table()
    assert not at.trend.fresh()


def test_slices_tell_how_long_ago_the_row_was_moved(base: OpenBase) -> None:
    at = state(base)
    ages = {"now": 60_000, "morning": 2 * 3_600_000, "yesterday": 12 * 3_600_000, "long": 9 * 24 * 3_600_000}
    for name, age in ages.items():
        at.write(name, np.zeros(16, np.float32), [("i0.0", TODAY + 3_600_000 - age)])
    at.commit()
    found = score(base, at, *[(name, "i1.1") for name in [*ages, "stranger"]])
    samples = {name: record.samples for (arm, name), record in found.items() if arm == "served" and "age" in name}
    expected = ["age_none", "age_under_1h", "age_under_6h", "age_under_1d", "age_1d_and_more"]
    assert samples == dict.fromkeys(expected, 1)
