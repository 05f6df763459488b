"""The changed days change what they say and nothing else; the tables say what the records do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from contracts.bases import BaseStore
from contracts.days import bounds
from contracts.events import Click, Request
from contracts.layout import Layout
from examples import changed_days, quiet_days
from examples.changed_days import CHANGES, NOON, changed
from streams.sources.synthetic import SyntheticSettings, synthetic_events
from streams.sources.synthetic_world import HOUR_MS
from tests.support.shards import Log
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import fold, small_settings, train

SMALL = SyntheticSettings(days=1, users=300, items=300, clicks_per_day=3000, mix=0.1)
AT_NOON = bounds(SMALL.first_day, "UTC")[0] + NOON * HOUR_MS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed_days, "SETTINGS", SMALL)


def log(name: str) -> list[Request | Click]:
    return [event for event in changed(name).events() if isinstance(event, Request | Click)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_day_is_the_same_until_noon_and_as_long_as_it_was(name: str) -> None:
    before, after = list(synthetic_events(SMALL)), log(name)
    assert len(after) == len(before)
    changes = [now.event_time for was, now in zip(before, after, strict=True) if was != now]
    assert bool(changes) == (name != "quiet")
    assert min(changes, default=AT_NOON) > AT_NOON - HOUR_MS  # a request shortly before noon goes with its click


def test_tastes_change_who_clicks_and_not_what_is_clicked() -> None:
    before, after = list(synthetic_events(SMALL)), log("tastes")
    assert [msgspec.structs.replace(event, user_id="") for event in before] == [
        msgspec.structs.replace(event, user_id="") for event in after
    ]
    users = {event.request_id: event.user_id for event in after if isinstance(event, Request)}
    assert all(users.get(event.request_id, event.user_id) == event.user_id for event in after)


def test_interest_goes_to_a_few_items_for_six_clicks_in_ten() -> None:
    late = [event.item_id for event in log("interest") if isinstance(event, Click) and event.event_time >= AT_NOON]
    most = Counter(late).most_common(changed_days.EVENT_ITEMS)
    assert sum(count for _, count in most) / len(late) == pytest.approx(changed_days.EVENT_SHARE, abs=0.1)


def test_three_users_in_ten_come_with_a_new_device() -> None:
    late = [event for event in log("device") if isinstance(event, Request) and event.event_time >= AT_NOON]
    users = {event.user_id for event in late}
    new = {event.user_id for event in late if event.context.discrete["device"] == "television"}
    assert len(new) / len(users) == pytest.approx(0.3, abs=0.05)


def test_two_days_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, tastes = Layout(tmp_path), replace(Tastes(), days=3)
    write_tastes(layout, tastes, Log(partitions=2))
    first = train(layout)
    fold(layout, first, small_settings(), MIDNIGHT + 2 * DAY_MS)
    second = train(layout, DAYS[1])
    fold(layout, second)
    words = ["--root", str(tmp_path), first.manifest.base_id, second.manifest.base_id]
    assert quiet_days.main(words) == 0
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in ("rows: median degrees", "common row", "popularity", "context: device"))
    assert "times" in shown


def test_a_base_that_nothing_was_folded_onto_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, replace(Tastes(), days=1))
    base = train(layout).manifest.base_id
    assert BaseStore(layout).ids() == [base]
    assert quiet_days.main(["--root", str(tmp_path), base, base]) == 2
    assert f"base {base} has no drift records" in capsys.readouterr().err
