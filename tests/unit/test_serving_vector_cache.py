"""The cache in memory: the same vectors as the tower's, and never those of another version."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from contracts.bases import OpenBase
from contracts.events import Context
from contracts.layout import Layout
from serving.answer import NO_CONTEXT, Query
from serving.retriever import Retriever
from serving.settings import ServingSettings
from serving.user_tower import UserTower
from serving.user_view import User, UserView
from serving.vector_cache import Counts, NothingShared, Shared, VectorCache
from tests.support.bases import append_round, serve, tiny_base

CONTEXTS = [NO_CONTEXT, Context({"device": "phone"}), Context({"device": "desktop"}, {"hour": 3.0})]


class Held:
    """A second cache that holds what it is told, and says what it was asked."""

    away = ""

    def __init__(self, answer: bytes | None = None) -> None:
        self.held: dict[bytes, bytes] = {}
        self.answer = answer

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.answer or self.held.get(key) for key in keys]

    def put(self, values: dict[bytes, bytes]) -> None:
        self.held.update(values)


@pytest.fixture
def base(tmp_path: Path) -> OpenBase:
    return tiny_base(Layout(tmp_path))


def asked(base: OpenBase) -> tuple[list[User], list[Context]]:
    """Known and unknown users, each in several contexts, some twice."""
    view = UserView.of_base(base)
    users = [view.user(user) for user in ("u1", "u2", "never seen", "nor this one") for _ in CONTEXTS]
    return [*users, users[0]], [*CONTEXTS * 4, CONTEXTS[0]]


def cache(base: OpenBase, keep: int, beside: Shared | None = None, key: str = "a view") -> tuple[VectorCache, Counts]:
    counts = Counts()
    return VectorCache(UserTower(base), key, keep, beside or NothingShared(), counts), counts


@pytest.mark.parametrize("keep", [0, 1, 5, 100])
def test_cached_vectors_are_the_towers_however_few_are_kept(base: OpenBase, keep: int) -> None:
    users, contexts = asked(base)
    wanted = UserTower(base).vectors(np.stack([user.id_embedding for user in users]), contexts)
    made, _ = cache(base, keep)
    for _ in range(3):
        np.testing.assert_allclose(made.vectors(users, contexts), wanted, rtol=1e-5, atol=1e-5)
    for user, context, vector in zip(users, contexts, wanted, strict=True):
        np.testing.assert_allclose(made.vectors([user], [context]), vector[np.newaxis], rtol=1e-5, atol=1e-5)


def test_a_vector_is_computed_once_and_users_without_a_row_share_it(base: OpenBase) -> None:
    users, contexts = asked(base)
    made, counts = cache(base, 100)
    made.vectors(users, contexts)
    assert counts.now() == {"memory": 0, "redis": 0, "computed": 9}
    made.vectors(users, contexts)
    assert counts.now() == {"memory": 13, "redis": 0, "computed": 9}


def test_the_second_cache_answers_other_processes_of_the_same_version_and_no_other(base: OpenBase) -> None:
    users, contexts = asked(base)
    beside = Held()
    cache(base, 0, beside)[0].vectors(users, contexts)
    assert len(beside.held) == 9
    for key, expected in (
        ("a view", {"memory": 0, "redis": 9, "computed": 0}),
        ("another", {"memory": 0, "redis": 0, "computed": 9}),
    ):
        made, counts = cache(base, 0, beside, key)
        made.vectors(users, contexts)
        assert counts.now() == expected


@pytest.mark.parametrize("rubbish", [b"x", b"\xff" * 32, b"\0" * 36])
def test_what_is_no_vector_in_the_second_cache_is_computed(base: OpenBase, rubbish: bytes) -> None:
    users, contexts = asked(base)
    wanted = UserTower(base).vectors(np.stack([user.id_embedding for user in users]), contexts)
    made, counts = cache(base, 0, Held(rubbish))
    np.testing.assert_allclose(made.vectors(users, contexts), wanted, rtol=1e-5, atol=1e-5)
    assert counts.now()["redis"] == 0


def test_names_in_the_second_cache_tell_nothing_about_users(base: OpenBase) -> None:
    beside = Held()
    users, contexts = asked(base)
    cache(base, 0, beside)[0].vectors(users, contexts)
    cache(base, 0, beside, "another")[0].vectors(users, contexts)
    names = [name.removeprefix(b"freshet:vector:") for name in beside.held]
    assert len(names) == 18
    assert all(len(name) == 48 and bytes.fromhex(name.decode()) for name in names)


def test_a_swap_never_answers_with_a_vector_of_the_version_before(base: OpenBase) -> None:
    layout = base.layout
    serve(layout, base)
    retriever = Retriever(layout, ServingSettings(search="exact"))
    queries = [Query(f"u{n}") for n in range(20)]
    retriever.retrieve_many(queries, 5)
    for seed in (1, 2, 3):
        append_round(layout, base, seed)
        serve(layout, base)
        retriever.refresh()
        alone = Retriever(layout, ServingSettings(search="exact", cached_vectors=0))
        found, wanted = retriever.retrieve_many(queries, 5), alone.retrieve_many(queries, 5)
        assert [answer.items for answer in found] == [answer.items for answer in wanted]
        frozen, control = retriever.frozen().retrieve_many(queries, 5), alone.frozen().retrieve_many(queries, 5)
        assert [answer.items for answer in frozen] == [answer.items for answer in control]


def test_threads_that_ask_at_once_get_the_same_vectors(base: OpenBase) -> None:
    users, contexts = asked(base)
    made, _ = cache(base, 3)
    wanted = made.vectors(users, contexts)
    wrong: list[int] = []

    def ask() -> None:
        for _ in range(50):
            if not np.allclose(made.vectors(users, contexts), wanted, atol=1e-5):
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
