"""Arms: who is answered by what, and that it stays so."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.bases import OpenBase
from contracts.errors import UsageError
from contracts.layout import Layout
from serving.answer import Query
from serving.arms import place_of
from serving.retriever import Retriever
from serving.settings import Arm, ServingSettings
from tests.support.bases import append_round, serve, tiny_base

USERS = [f"u{n}" for n in range(2_000)]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


def settings(*arms: Arm, salt: str = "") -> ServingSettings:
    return ServingSettings(search="exact", arm=arms, arm_salt=salt)


def arm(name: str, share: float, serves: str | int) -> Arm:
    return Arm.model_validate({"name": name, "share": share, "serves": serves})


def test_users_are_dealt_to_arms_by_share_and_stay_there(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    arms = settings(arm("control", 0.2, "frozen"), arm("held-back", 0.1, 1))
    retriever = Retriever(layout, arms)
    dealt = [retriever.line_up.view_of(user).arm for user in USERS]
    assert dealt.count("control") == pytest.approx(400, abs=60)
    assert dealt.count("held-back") == pytest.approx(200, abs=45)
    append_round(layout, base, 1)
    serve(layout, base)
    assert retriever.refresh()
    assert [retriever.line_up.view_of(user).arm for user in USERS] == dealt
    assert [Retriever(layout, arms).line_up.view_of(user).arm for user in USERS] == dealt


def test_another_salt_deals_anew_and_a_smaller_share_only_takes_away() -> None:
    once, again = ([place_of(user, salt) < 0.5 for user in USERS] for salt in ("", "second"))
    assert sum(a == b for a, b in zip(once, again, strict=True)) == pytest.approx(1_000, abs=100)
    assert all(place_of(user, "") < 0.5 for user in USERS if place_of(user, "") < 0.2)


def test_each_arm_answers_with_its_own_version_and_says_so(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    append_round(layout, base, 1)
    serve(layout, base)
    everybody = {
        name: Retriever(layout, settings(arm("all", 1.0, serves)))
        for name, serves in (("frozen", "frozen"), ("first", 1), ("newest", "newest"))
    }
    plain = Retriever(layout, settings())
    for user in USERS[:30]:
        answers = {name: retriever.retrieve(user, 5) for name, retriever in everybody.items()}
        assert {answer.arm for answer in answers.values()} == {"all"}
        assert [answers[name].version for name in ("frozen", "first", "newest")] == [2, 1, 2]
        assert answers["newest"].items == plain.retrieve(user, 5).items
        assert answers["frozen"].items == plain.frozen().retrieve(user, 5).items
        assert all(item.trend == 0 for item in answers["frozen"].items)


def test_a_batch_answers_each_user_by_their_arm_in_the_order_asked(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, settings(arm("control", 0.5, "frozen")))
    answers = retriever.retrieve_many([Query(user) for user in USERS[:40]], 5)
    assert [answer.user_id for answer in answers] == USERS[:40]
    assert {answer.arm for answer in answers} == {"control", "served"}
    assert [a.items for a in answers] == [retriever.retrieve(user, 5).items for user in USERS[:40]]


def test_a_held_back_version_keeps_answering_through_publishes_and_rollbacks(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    retriever = Retriever(layout, settings(arm("old", 1.0, 1)))
    before = [retriever.retrieve(user, 5).items for user in USERS[:20]]
    for seed in (1, 2):
        append_round(layout, base, seed)
        serve(layout, base)
        assert retriever.refresh()
    assert [retriever.retrieve(user, 5).items for user in USERS[:20]] == before
    assert retriever.view.version == 3


def test_an_arm_of_a_version_that_does_not_exist_is_named(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with pytest.raises(UsageError, match="arm 'old' serves version 7, which does not exist") as raised:
        Retriever(layout, settings(arm("old", 0.1, 7)))
    assert "Versions 1 to 1" in raised.value.hint


@pytest.mark.parametrize(
    ("arms", "complaint"),
    [
        ((arm("a", 0.6, "frozen"), arm("b", 0.5, "frozen")), "more than 1"),
        ((arm("a", 0.1, "frozen"), arm("a", 0.1, "newest")), "names of their own"),
        ((arm("served", 0.1, "frozen"),), "names of their own"),
        ((arm("a", 0.1, 0),), "number of a version"),
    ],
)
def test_arms_that_cannot_be_meant_are_refused(arms: tuple[Arm, ...], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        settings(*arms)
