"""Which tower answers: INT8 only where it finds what fp32 finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.bases import USER_TOWER, USER_TOWER_INT8, OpenBase
from contracts.layout import Layout
from serving.catalogue import Catalogue
from serving.retriever import Retriever
from serving.settings import ServingSettings
from serving.tower_choice import choose
from tests.support.bases import SOME_FEATURES, rewrite, serve, tiny_base, user_tower


@pytest.fixture
def base(tmp_path: Path) -> OpenBase:
    return tiny_base(Layout(tmp_path))


def with_int8(base: OpenBase, tower: bytes) -> OpenBase:
    return rewrite(base, "with-int8", {USER_TOWER_INT8: tower})


def chosen(base: OpenBase) -> tuple[str, str]:
    found = choose(base, Catalogue.of(base, 0.5), "int8", 1)
    return found.tower.precision, found.why


def test_an_int8_tower_that_finds_the_same_items_is_taken_and_its_loss_told(base: OpenBase) -> None:
    assert chosen(with_int8(base, base.file(USER_TOWER))) == ("int8", "int8: INT8 loses 0.00% of fp32's recall@20")


def test_an_int8_tower_that_loses_one_percent_or_more_is_refused_with_the_figure(base: OpenBase) -> None:
    other = with_int8(base, user_tower(np.random.default_rng(9), 8, SOME_FEATURES))
    precision, why = chosen(other)
    assert precision == "fp32"
    loss = float(why.split("INT8 loses ")[1].split("%")[0])
    assert loss >= 1
    assert "limit: below 1%" in why
    serve(base.layout, other)
    assert Retriever(base.layout, ServingSettings(search="exact", tower="int8")).view.parts.tower_choice == why


def test_a_base_without_an_int8_tower_is_answered_by_fp32(base: OpenBase) -> None:
    assert chosen(base) == ("fp32", "fp32, for the base has no INT8 tower")
