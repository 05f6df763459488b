"""Which days a full retrain refuses, and with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.bases import BaseStore
from contracts.errors import UsageError
from contracts.events import Context
from contracts.layout import Layout
from tests.support.shards import Log, write_log
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes
from tests.support.trained import small_settings, train
from trainer.day_scan import Scan
from trainer.day_statistics import DayStatistics, of_base, require_sound, unlike
from trainer.lineage import NEWEST
from trainer.retrain import RetrainPlan, retrain
from trainer.settings import DayLimits
from trainer.training_days import DaySamples

LIMITS = DayLimits()
USUAL = DayStatistics("2025-01-06", 1000, 0.1, 0.2, {"device": 1.0, "region": 0.6}, {"hour": (12.0, 6.0)})
BEFORE = [USUAL] * 3


def refused(**changes: object) -> str:
    with pytest.raises(UsageError) as caught:
        require_sound(DayStatistics(**{**as_dict(USUAL), **changes}), BEFORE, LIMITS)  # type: ignore[arg-type]
    assert "--accept-day" in caught.value.hint
    return str(caught.value)


def as_dict(day: DayStatistics) -> dict[str, object]:
    return {name: getattr(day, name) for name in day.__struct_fields__}


def test_a_day_like_the_others_is_taken_and_so_is_the_first_of_all() -> None:
    require_sound(USUAL, BEFORE, LIMITS)
    require_sound(USUAL, [], LIMITS)


def test_a_day_of_which_a_part_is_missing_is_refused_with_both_volumes() -> None:
    assert "200 samples, where 1,000 are usual" in refused(samples=200)
    assert "5,000 samples" in refused(samples=5000)


def test_a_day_of_strangers_and_of_items_that_nobody_knew_is_refused() -> None:
    assert "90% of clicks by new users, where 10% are usual" in refused(new_users=0.9)
    assert "100% of clicks on new items" in refused(new_items=1.0)


def test_fewer_strangers_than_usual_are_no_reason() -> None:
    strangers = [DayStatistics("2025-01-06", 1000, 0.7, 0.9, {}, {})] * 3
    assert unlike(DayStatistics("2025-01-09", 1000, 0.0, 0.0, {}, {}), strangers, LIMITS) == []


def test_a_feature_that_vanished_and_one_that_is_rarer_are_named() -> None:
    assert "0% of clicks carry the feature 'device', where 100% do" in refused(discrete={"region": 0.6})
    assert "'region'" in refused(discrete={"device": 1.0, "region": 0.1})


def test_numbers_in_another_unit_and_numbers_that_are_gone_are_named() -> None:
    assert "the mean of 'hour' is 720, where 12 is usual" in refused(numbers={"hour": (720.0, 360.0)})
    assert "no click carries the number 'hour'" in refused(numbers={})


def test_all_reasons_are_told_at_once() -> None:
    sentence = refused(samples=1, new_users=0.9, discrete={})
    assert all(part in sentence for part in ("1 samples", "new users", "'device'", "'region'"))


def test_a_day_is_described_against_what_was_known_before_it() -> None:
    def chunk(name: str, users: list[str], items: list[str]) -> DaySamples:
        contexts = [Context({"device": "phone"}, {"hour": 1.0}), Context({}, {"hour": 3.0})]
        return DaySamples(name, users, items, contexts, np.zeros(2, np.int64), [("r",), ()])

    scan = Scan(None, (1_800_000, 0), 6)
    scan.begin("before")
    scan.add(chunk("before", ["a", "a"], ["i", "j"]))
    scan.begin("d")
    scan.add(chunk("d", ["a", "b"], ["i", "j"]))
    scan.add(chunk("d", ["b", "b"], ["r", "j"]))  # what was only rejected before is new
    description, clicks = scan.end()
    assert description.done() == DayStatistics("d", 4, 0.75, 0.25, {"device": 0.5}, {"hour": (2.0, 1.0)})
    assert dict(zip(scan.items.texts(), clicks.tolist(), strict=False)) == {"i": 1, "j": 2, "r": 1}


def test_a_broken_night_is_refused_before_training_and_taken_with_a_reason_that_goes_on_record(tmp_path: Path) -> None:
    layout, tastes = Layout(tmp_path), Tastes(days=2)
    whole = tastes.day(0)
    write_log(layout, Log(), [*whole, *tastes.day(1)[::20]], MIDNIGHT + 2 * DAY_MS)
    checking = small_settings(day={"check": True})
    first = train(layout, settings=checking)
    assert [each.samples for each in of_base(first)] == [len(whole)]
    with pytest.raises(UsageError, match="day 2025-01-07 is unlike the 1 days before it: 30 samples"):
        train(layout, DAYS[1], settings=checking)
    assert BaseStore(layout).ids() == [first.manifest.base_id]
    plan = RetrainPlan("events", (DAYS[1],), NEWEST, checking, accept="a holiday")
    second = retrain(layout, plan)
    assert [(each.day, each.accepted) for each in of_base(second)] == [(DAYS[0], ""), (DAYS[1], "a holiday")]
