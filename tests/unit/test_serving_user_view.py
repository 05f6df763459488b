"""The users of a served version: base and deltas as one view that never changes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import deltas
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.deltas import Changes, Content, Delta, DeltaChain
from contracts.errors import Corrupt, WrongParent
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.rows import Row
from contracts.served import Hold
from serving.user_view import FrozenUserView, UserView
from tests.support.bases import Tiny, append_delta, append_round, random_changes, serve, tiny_base

WIDTH = 8


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


def common(number: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(WIDTH, number, dtype=np.float32)


def users_of(partition: int) -> list[str]:
    return [f"u{n}" for n in range(20) if partition_of(f"u{n}", 2) == partition]


def test_before_any_delta_a_known_user_has_the_row_of_the_base(base: OpenBase) -> None:
    user = UserView.of_base(base).user("u1")
    assert (user.how, user.delta, user.row) == ("own row", 0, base.rows["u1"])
    assert user.ring == base.rows["u1"].ring
    assert np.array_equal(user.id_embedding, base.common + base.rows["u1"].own)


def test_before_any_delta_an_unknown_user_has_the_common_row_of_the_base(base: OpenBase) -> None:
    user = UserView.of_base(base).user("nobody")
    assert (user.how, user.row, user.delta, user.ring) == ("common row", None, 0, ())
    assert np.array_equal(user.id_embedding, base.common)


def test_a_row_of_a_delta_replaces_the_row_of_the_base_and_names_the_delta(layout: Layout, base: OpenBase) -> None:
    mine, *_, other = users_of(0)
    row = Row(common(0.25), 7, 123, ("i1",))
    append_delta(layout, base, 0, Changes(common(1), 5))
    append_delta(layout, base, 0, Changes(common(2), 6, {mine: row}))
    view = UserView.of_base(base).advanced(serve(layout, base).body)
    user = view.user(mine)
    assert (user.row is not None, user.delta, user.ring) == (True, 2, ("i1",))
    assert np.array_equal(user.id_embedding, common(2.25))
    assert view.user(other).delta == 0
    assert np.array_equal(view.user(other).common, common(2))


def test_an_unknown_user_has_the_average_of_the_common_rows_weighted_by_samples(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, Changes(common(1), 30))
    append_delta(layout, base, 1, Changes(common(5), 10))
    view = UserView.of_base(base).advanced(serve(layout, base).body)
    assert np.array_equal(view.user("nobody").id_embedding, common(2))
    assert np.array_equal(view.user(users_of(1)[0]).common, common(5))


def test_a_partition_that_learned_nothing_weighs_nothing_in_the_average(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, Changes(common(1), 30))
    view = UserView.of_base(base).advanced(serve(layout, base).body)
    assert np.array_equal(view.user("nobody").id_embedding, common(1))


def test_a_tombstone_makes_a_user_unknown_and_a_later_row_known_again(layout: Layout, base: OpenBase) -> None:
    user = users_of(0)[0]
    append_delta(layout, base, 0, Changes(common(1), 1, tombstones={user}))
    without = UserView.of_base(base).advanced(serve(layout, base).body)
    assert without.user(user).how == "common row"
    append_delta(layout, base, 0, Changes(common(1), 1, {user: Row(common(3), 1, 1, ())}))
    shown = serve(layout, base).body
    assert without.leads_to(shown)
    assert without.advanced(shown).user(user).how == "own row"
    assert without.user(user).how == "common row"


def test_trend_counts_are_those_of_the_cut_and_of_every_partition_since(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, Changes(common(0), 1, trend={"i0": 2.0, "new": 1.0}))
    append_delta(layout, base, 0, Changes(common(0), 1, trend={"i0": 3.0}))
    append_delta(layout, base, 1, Changes(common(0), 1, trend={"i0": 4.0}))
    view = UserView.of_base(base).advanced(serve(layout, base).body)
    expected = dict(base.trend)
    expected["i0"] += 3.0 + 4.0
    assert view.trend_counts() == {**expected, "new": 1.0}


def test_held_deltas_are_not_shown_and_the_later_ones_are(layout: Layout, base: OpenBase) -> None:
    user = users_of(0)[0]
    for number in (1, 2, 3):
        rows = {user: Row(common(number), number, 1, ())} if number < 3 else {}
        append_delta(layout, base, 0, Changes(common(number), number, rows, trend={f"t{number}": 1.0}))
    view = UserView.of_base(base).advanced(serve(layout, base, (Hold(0, 2, 2),)).body)
    assert (view.user(user).delta, view.user(user).common[0]) == (1, 3.0)
    assert "t2" not in view.trend_counts()
    assert "t3" in view.trend_counts()


def test_a_view_leads_only_to_versions_that_show_what_it_shows_and_more(layout: Layout, base: OpenBase) -> None:
    versions = [serve(layout, base).body]
    for seed in (1, 2):
        append_round(layout, base, seed)
        versions.append(serve(layout, base).body)
    held = serve(layout, base, (Hold(1, 2, 2),)).body
    other = serve(layout, tiny_base(layout, Tiny("other", seed=1))).body
    view = UserView.of_base(base).advanced(versions[1])
    assert [view.leads_to(shown) for shown in (*versions, held, other)] == [False, True, True, True, False]
    assert not UserView.of_base(base).advanced(versions[2]).leads_to(held)


def test_a_view_advanced_step_by_step_equals_one_built_at_once(layout: Layout, base: OpenBase) -> None:
    stepped, everybody = UserView.of_base(base), [*users_of(0), *users_of(1), *(f"new{n}" for n in range(100))]
    for seed in range(1, 12):
        append_round(layout, base, seed)
        shown = serve(layout, base).body
        stepped, at_once = stepped.advanced(shown), UserView.of_base(base).advanced(shown)
        for user in everybody:
            one, other = stepped.user(user), at_once.user(user)
            assert (one.delta, one.how, one.ring) == (other.delta, other.how, other.ring)
            assert np.array_equal(one.id_embedding, other.id_embedding)
        assert stepped.trend_counts() == at_once.trend_counts()


def test_a_view_reads_only_the_deltas_that_are_new(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_round(layout, base, 1)
    view = UserView.of_base(base).advanced(serve(layout, base).body)
    append_round(layout, base, 2)
    read, real = list[int](), deltas.read_content

    def reading(chain: DeltaChain, entry: Entry[Delta]) -> Content:
        read.append(entry.number)
        return real(chain, entry)

    monkeypatch.setattr(deltas, "read_content", reading)
    view.advanced(serve(layout, base).body)
    assert read == [2, 2]


def test_a_damaged_delta_is_named(layout: Layout, base: OpenBase) -> None:
    entry = append_delta(layout, base, 0, random_changes(base, 0, 1))
    path = layout.deltas("tiny", 0) / entry.files[0].name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=str(path)):
        UserView.of_base(base).advanced(serve(layout, base).body)


def test_a_delta_of_another_base_is_never_applied(layout: Layout, base: OpenBase) -> None:
    chain = deltas.chain(layout, "tiny", 0)
    other = tiny_base(layout, Tiny("other", seed=1))
    entry = append_delta(layout, other, 0, random_changes(other, 0, 1))
    data = deltas.chain(layout, "other", 0).data(entry, deltas.ROWS)
    chain.create(chain.prepare(None, entry.body, {deltas.ROWS: data}))
    with pytest.raises(WrongParent, match="another base"):
        UserView.of_base(base).advanced(serve(layout, base).body)


def test_a_delta_that_is_not_the_one_published_is_refused(layout: Layout, base: OpenBase) -> None:
    append_delta(layout, base, 0, random_changes(base, 0, 1))
    shown = serve(layout, base).body
    wrong = msgspec.structs.replace(shown.positions[0], digest="0" * 64)
    with pytest.raises(WrongParent, match="delta 1 of partition 0 is not the one published"):
        UserView.of_base(base).advanced(msgspec.structs.replace(shown, positions=(wrong, shown.positions[1])))


def test_the_frozen_view_has_the_rows_of_the_base_and_the_rings_that_are_served(layout: Layout, base: OpenBase) -> None:
    user = users_of(0)[0]
    append_delta(layout, base, 0, Changes(common(1), 1, {user: Row(common(3), 9, 9, ("i5",))}))
    frozen = FrozenUserView(UserView.of_base(base), UserView.of_base(base).advanced(serve(layout, base).body))
    known = frozen.user(user)
    assert (known.row, known.delta, known.ring) == (base.rows[user], 0, ("i5",))
    assert np.array_equal(known.id_embedding, base.common + base.rows[user].own)
