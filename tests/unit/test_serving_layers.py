"""Layers: an immutable mapping laid over another."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.layers import Layers

CHANGES = st.lists(st.dictionaries(st.text("abcdefgh", max_size=2), st.integers(), max_size=6), max_size=30)


@settings(deadline=None, derandomize=True)
@given(CHANGES)
def test_layers_answer_as_one_dict_that_was_updated(changes: list[dict[str, int]]) -> None:
    layers, plain = Layers[int](), dict[str, int]()
    for change in changes:
        layers = layers.over(change)
        plain.update(change)
        assert dict(layers) == plain
        assert len(layers) == len(plain)


@settings(deadline=None, derandomize=True)
@given(CHANGES)
def test_a_mapping_never_changes_after_another_was_laid_over_it(changes: list[dict[str, int]]) -> None:
    layers, held = Layers[int](), list[tuple[Layers[int], dict[str, int]]]()
    for change in changes:
        held.append((layers, dict(layers)))
        layers = layers.over(change)
    assert all(dict(kept) == copied for kept, copied in held)


def test_laying_down_costs_the_changes_times_a_logarithm_and_so_does_a_look_up() -> None:
    layers, copied, rounds, size = Layers[int](), 0, 512, 8
    for number in range(rounds):
        before = {id(layer) for layer in layers._layers}
        layers = layers.over({f"{number}-{n}": n for n in range(size)})
        copied += sum(len(layer) for layer in layers._layers if id(layer) not in before)
    assert copied <= rounds * size * 11
    assert len(layers._layers) <= 11
