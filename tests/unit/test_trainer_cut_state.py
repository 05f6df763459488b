"""Evidence, rings and trend counts at the cut, folded by codes, beside the fold that says what they are."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import trend
from contracts.rows import RING, pushed
from trainer.cut_state import NEGLIGIBLE, CutState, TrendState
from trainer.text_codes import TextCodes

COUNT = 3000


def clicks() -> tuple[list[str], list[str], list[int]]:
    """Few users with many items, so that rings run over and items come back; a time that goes back now and then."""
    dice = np.random.default_rng(1)
    users, items = dice.integers(6, size=COUNT).tolist(), dice.integers(150, size=COUNT).tolist()
    times = (np.arange(COUNT) * 60_000 - dice.integers(300_000, size=COUNT)).tolist()
    return [f"u{user}" for user in users], [f"i{item}" for item in items], times


@pytest.mark.parametrize("size", [1, 250, COUNT])
def test_rows_at_the_cut_are_the_fold_of_all_clicks_one_by_one(size: int) -> None:
    known, items_known = TextCodes(), TextCodes(["never"])
    state, (users, items, times) = CutState(None, known, items_known), clicks()
    for start in range(0, COUNT, size):
        part = slice(start, start + size)
        state.add(known.of(users[part]), items_known.of(items[part]), np.array(times[part]))
    table = state.table(np.arange(len(known), dtype=np.float32)[:, None])
    rings: dict[str, tuple[str, ...]] = {}
    for user, item in zip(users, items, strict=True):
        rings[user] = pushed(rings.get(user, ()), item)
    assert table.users == sorted(rings)
    assert {user: row.ring for user, row in table.items()} == rings
    assert max(len(ring) for ring in rings.values()) == RING
    for user, row in table.items():
        assert row.clicks == users.count(user)
        assert row.last_event_time == max(time for who, time in zip(users, times, strict=True) if who == user)
        assert row.own[0] == known[user]


def test_trend_counts_are_the_same_bits_however_the_clicks_came() -> None:
    (_, items, times), half_life, found = clicks(), 1_800_000, []
    t0 = max(times)
    for size in (1, 250, COUNT):
        known = TextCodes()
        state = TrendState(None, known, half_life, t0)
        for start in range(0, COUNT, size):
            part = slice(start, start + size)
            state.add(known.of(items[part]), np.array(times[part]))
        found.append(state.counts())
    assert found[0] == found[1] == found[2]
    assert list(found[0]) == sorted(found[0])
    wanted: dict[str, float] = {}
    for item, time in zip(items, times, strict=True):
        wanted[item] = wanted.get(item, 0.0) + trend.weight(time, t0, half_life)
    assert found[0] == pytest.approx({item: count for item, count in wanted.items() if count >= NEGLIGIBLE}, rel=1e-9)
