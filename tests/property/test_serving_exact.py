"""Retrieval equals scoring every item when the index is exact; views follow any history of publishes and rollbacks."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import served
from contracts.bases import OnlineSettings
from contracts.events import Context
from contracts.layout import Layout
from contracts.served import Hold
from serving.answer import ScoredItem
from serving.retriever import Retriever
from serving.served_view import ServedView
from serving.settings import ServingSettings
from serving.user_view import UserView
from serving.view_builder import ViewBuilder
from tests.support.bases import Tiny, append_round, serve, tiny_base

EXACT = ServingSettings(search="exact")
USERS = [*(f"u{n}" for n in range(8)), *(f"new{n}" for n in range(8)), "nobody"]

BASES = st.builds(
    Tiny,
    users=st.integers(0, 8),
    items=st.integers(2, 60),
    partitions=st.integers(1, 3),
    width=st.integers(2, 5),
    seed=st.integers(0, 1000),
    trending=st.integers(0, 2),
    online=st.builds(
        OnlineSettings,
        beta=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        floor=st.sampled_from([0.01, 0.3, 2.0]),
        half_life_ms=st.sampled_from([1_800_000, 150_000]),
        bias_weight=st.sampled_from([0.0, 0.5, 1.0]),
    ),
)


def scores_of_everything(view: ServedView, user_id: str) -> dict[str, float]:
    """Return the score of every item that may be shown, from the definition alone, item by item.

    Clicks below a thousandth of the floor are none. An item without a vector has its prior, and the mean of the scores
    without trend of the clicked items that have one, weighted by exp(prior).
    """
    assert isinstance(view.users, UserView)
    user, base = view.users.user(user_id), view.parts.base
    online, items = base.manifest.online, base.items
    (vector,) = view.parts.tower.vectors(user.id_embedding[np.newaxis], [Context()])
    half_lives = (view.shown.trend_time - base.manifest.trend_t0) / online.half_life_ms
    decayed = {item: count / 2**half_lives for item, count in view.users.trend_counts().items()}
    clicks = {item: count for item, count in decayed.items() if count >= 1e-3 * online.floor}

    def prior(item: str) -> float:
        return online.beta * math.log(clicks.get(item, 0.0) + online.floor)

    fits = {
        item: float(np.dot(vector, items.vectors[n])) + online.bias_weight * float(items.biases[n])
        for n, item in enumerate(items.ids)
    }
    known = {item: fit + prior(item) for item, fit in fits.items()}
    weights = {item: math.exp(prior(item)) for item in clicks if item in fits}
    mean = sum(weight * fits[item] for item, weight in weights.items()) / sum(weights.values()) if weights else 0.0
    unknown = {item: mean + prior(item) for item in clicks if item not in known} if online.beta else {}
    return {item: score for item, score in {**known, **unknown}.items() if item not in user.ring}


def check_best(found: tuple[ScoredItem, ...], everything: dict[str, float], k: int) -> None:
    """The answer has the k best scores, each under its own item, and no item twice (equal scores in any order)."""
    best = sorted(everything.values(), reverse=True)[:k]
    assert np.allclose([item.score for item in found], best, atol=1e-4)
    assert all(abs(everything[item.item_id] - item.score) < 1e-4 for item in found)
    assert len({item.item_id for item in found}) == len(found) == len(best)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BASES, st.integers(0, 3), st.integers(1, 80))
def test_retrieval_equals_scoring_every_item_when_the_index_is_exact(tiny: Tiny, rounds: int, k: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        base = tiny_base(layout, tiny)
        for seed in range(1, rounds + 1):
            append_round(layout, base, seed)
        serve(layout, base)
        view = Retriever(layout, EXACT).view
        for user in USERS:
            check_best(view.retrieve(user, k).items, scores_of_everything(view, user), k)


STEPS = st.lists(st.sampled_from(["delta", "publish", "rollback", "refresh", "other base"]), max_size=14)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(STEPS)
def test_a_reader_that_follows_any_history_equals_one_that_opens_its_end(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        bases = [tiny_base(layout, Tiny(f"base{n}", users=8, items=12, width=3, seed=n)) for n in range(2)]
        serve(layout, bases[0])
        reader, seed, current = Retriever(layout, EXACT), 0, 0
        for step in steps:
            if step == "delta":
                seed += 1
                append_round(layout, bases[current], seed)
            elif step == "publish":
                serve(layout, bases[current], holds_of(layout, bases[current].manifest.base_id))
            elif step == "other base":
                current = 1 - current
                serve(layout, bases[current], holds_of(layout, bases[current].manifest.base_id))
            elif step == "rollback":
                current = hold_the_newest(layout)
            else:
                reader.refresh()
        reader.refresh()
        head = served.head(layout)
        assert head is not None
        alone = ViewBuilder(layout, EXACT).view(head)
        for user in USERS:
            one, other = reader.retrieve(user, 9), alone.retrieve(user, 9)
            assert (one.version, one.how, one.delta, one.items) == (other.version, other.how, other.delta, other.items)


def holds_of(layout: Layout, base_id: str) -> tuple[Hold, ...]:
    """Return the holds of the newest version on a base."""
    newest = [entry.body.holds for entry in served.chain(layout).entries() if entry.body.base_id == base_id]
    return newest[-1] if newest else ()


def hold_the_newest(layout: Layout) -> int:
    """Serve the same content without the newest delta of partition 0, held from now on; return the base's number."""
    chain = served.chain(layout)
    head = chain.head()
    assert head is not None
    body = head.body
    newest = max(served.included(body, 0), default=0)
    holds = (*body.holds, Hold(0, newest, newest)) if newest else body.holds
    chain.create(chain.prepare(head, msgspec.structs.replace(body, holds=holds, action="rollback"), {}))
    return int(body.base_id.removeprefix("base"))
