"""The trend table: decayed clicks become a term of the score."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.bases import Base
from contracts.layout import Layout
from serving.catalogue import Catalogue
from serving.trend_table import TrendTable
from tests.support.bases import CUT, online, tiny_base

HALF_LIFE = 1_800_000


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return tiny_base(Layout(tmp_path)).manifest


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue.of(tiny_base(Layout(tmp_path)), 0.5)


def test_the_prior_is_the_logarithm_of_clicks_decayed_to_the_time_served(base: Base, catalogue: Catalogue) -> None:
    table = TrendTable.of({"i7": 8.0, "i2": 4.0, "gone": 2.0}, base, CUT + 2 * HALF_LIFE, catalogue)
    assert table.rows.tolist() == [2, 7]
    assert np.allclose(table.priors, [math.log(4 / 4 + 0.3), math.log(8 / 4 + 0.3)])
    assert table.strangers == ("gone",)
    assert np.allclose(table.stranger_priors, [math.log(2 / 4 + 0.3)])


def test_every_other_item_has_the_prior_of_no_clicks(base: Base, catalogue: Catalogue) -> None:
    table = TrendTable.of({"i7": 1.0, "i2": 4.0}, base, CUT, catalogue)
    assert np.allclose([*table.priors, table.floor], np.log([4.3, 1.3, 0.3]))


def test_with_beta_0_the_table_adds_nothing_and_names_no_item(base: Base, catalogue: Catalogue) -> None:
    off = msgspec.structs.replace(base, online=msgspec.structs.replace(base.online, beta=0.0))
    table = TrendTable.of({"i7": 1.0, "gone": 4.0}, off, CUT, catalogue)
    assert table.strangers == ()
    assert (table.rows.tolist(), table.floor) == ([], 0.0)
    assert table.scores(catalogue.vectors[0], ()).tolist() == []


def test_beta_scales_the_prior(tmp_path: Path, catalogue: Catalogue) -> None:
    opened = tiny_base(Layout(tmp_path))
    doubled = msgspec.structs.replace(opened.manifest, online=online(opened, beta=2.0))
    table = TrendTable.of({"i7": 1.0}, doubled, CUT, catalogue)
    assert np.allclose([*table.priors, table.floor], 2 * np.log([1.3, 0.3]))


def test_an_empty_table_has_a_floor_for_every_item(base: Base, catalogue: Catalogue) -> None:
    table = TrendTable.of({}, base, CUT, catalogue)
    assert table.rows.tolist() == []
    assert table.floor == pytest.approx(math.log(0.3))


def test_items_whose_clicks_have_decayed_to_nothing_leave_the_table(base: Base, catalogue: Catalogue) -> None:
    dust = 0.9e-3 * 0.3
    table = TrendTable.of({"i7": dust, "i2": 2 * dust, "gone": dust, "here": 2 * dust}, base, CUT, catalogue)
    assert (table.rows.tolist(), table.strangers) == ([2], ("here",))
    assert 0 < math.log(dust + 0.3) - table.floor < 1e-3


def test_a_stranger_fits_a_user_as_the_trending_items_do_weighted_by_clicks(base: Base, catalogue: Catalogue) -> None:
    table = TrendTable.of({"i7": 1.0, "i2": 4.0, "one": 2.0, "other": 0.0003}, base, CUT, catalogue)
    query = np.random.default_rng(0).normal(size=9).astype(np.float32)
    fit = (4.3 * (catalogue.vectors[2] @ query) + 1.3 * (catalogue.vectors[7] @ query)) / (4.3 + 1.3)
    assert table.strangers == ("one", "other")
    assert np.allclose(table.stranger_scores(query), [math.log(2.3) + fit, math.log(0.3003) + fit], atol=1e-5)


def test_where_no_known_item_trends_a_stranger_is_scored_by_its_prior(base: Base, catalogue: Catalogue) -> None:
    table = TrendTable.of({"gone": 2.0}, base, CUT, catalogue)
    assert np.allclose(table.stranger_scores(catalogue.vectors[0]), [math.log(2.3)])


def test_clicks_beyond_any_size_leave_the_mean_vector_finite(base: Base, catalogue: Catalogue) -> None:
    table = TrendTable.of({"i7": 1e300, "i2": 1e300, "gone": 1.0}, base, CUT, catalogue)
    assert np.allclose(table.mean_vector, (catalogue.vectors[2] + catalogue.vectors[7]) / 2)
