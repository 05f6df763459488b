"""The synthetic log: the same every time, of the promised make-up, and with a truth that is worth learning."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice

import numpy as np
import pytest

from contracts.events import Click, Request, decode, encode
from streams.sources.synthetic import SyntheticSettings, synthetic_events
from streams.sources.synthetic_world import DAY_MS, HOUR_MS, World

SMALL = SyntheticSettings(seed=3, days=2, users=300, items=400, clicks_per_day=4000)
Log = list[Request | Click]


@pytest.fixture(scope="module")
def log() -> Log:
    return list(synthetic_events(SMALL))


def requests_of(log: Log) -> list[Request]:
    return [event for event in log if isinstance(event, Request)]


def clicks_of(log: Log) -> list[Click]:
    return [event for event in log if isinstance(event, Click)]


def test_the_same_seed_gives_the_same_log(log: Log) -> None:
    assert list(synthetic_events(SMALL)) == log


def test_another_seed_gives_another_log(log: Log) -> None:
    assert list(islice(synthetic_events(SyntheticSettings(seed=4)), 50)) != log[:50]


def test_the_log_is_in_order_of_ingest_time_and_ends_with_its_last_day(log: Log) -> None:
    times = [event.ingest_time for event in log]
    assert times == sorted(times)
    assert 2 * DAY_MS - HOUR_MS < times[-1] - times[0] < 2 * DAY_MS


def test_every_event_is_one_that_the_decoder_accepts(log: Log) -> None:
    assert all(type(decode(encode(event))) is type(event) for event in log)


def test_there_are_about_as_many_clicks_as_asked_for_and_one_and_a_half_requests_each(log: Log) -> None:
    clicks, requests = len(clicks_of(log)), len(requests_of(log))
    assert clicks == pytest.approx(8000, rel=0.06)
    assert requests / clicks == pytest.approx(1.5, rel=0.06)


def test_what_is_shown_and_what_is_rejected_never_meet(log: Log) -> None:
    for request in requests_of(log):
        shown, rejected = [s.item_id for s in request.shown], [r.item_id for r in request.rejected]
        assert len(set(shown + rejected)) == len(shown) + len(rejected) == 18
        assert [s.position for s in request.shown] == list(range(12))
        assert Counter(r.stage for r in request.rejected) == {"pre_rank": 3, "rank": 3}


def test_a_click_names_an_item_that_its_request_showed(log: Log) -> None:
    shown = {request.request_id: {s.item_id for s in request.shown} for request in requests_of(log)}
    known = [click for click in clicks_of(log) if click.request_id in shown]
    assert len(known) > 6000
    assert all(click.item_id in shown[click.request_id] for click in known)


def test_there_are_late_duplicate_orphaned_and_direct_clicks_and_late_reports(log: Log) -> None:
    asked = {request.request_id: request.ingest_time for request in requests_of(log)}
    clicks = clicks_of(log)
    delays = [click.ingest_time - asked[click.request_id] for click in clicks if click.request_id in asked]
    assert sum(delay > 30 * 60_000 for delay in delays) > 20
    assert sum(delay < 0 for delay in delays) > 0
    assert sum(count == 2 for count in Counter(click.event_id for click in clicks).values()) > 50
    assert sum(not click.request_id for click in clicks) > 400
    assert sum(bool(click.request_id) and click.request_id not in asked for click in clicks) > 5
    assert sum(click.ingest_time - click.event_time > 60_000 for click in clicks) > 100


def test_a_duplicate_says_the_same_but_for_when_it_came_in(log: Log) -> None:
    copies = defaultdict(list)
    for click in clicks_of(log):
        copies[click.event_id].append((click.user_id, click.item_id, click.event_time, click.request_id))
    assert all(len(set(same)) == 1 for same in copies.values())


def test_the_night_is_quieter_than_the_evening(log: Log) -> None:
    hours = Counter(request.event_time % DAY_MS // HOUR_MS for request in requests_of(log))
    assert hours[20] > 4 * hours[8]


def test_items_come_and_go(log: Log) -> None:
    first, second = (
        {click.item_id for click in clicks_of(log) if (click.event_time - log[0].event_time) // DAY_MS == day}
        for day in (0, 1)
    )
    assert len(second - first) > 20 and len(first - second) > 20


def test_some_users_come_on_a_later_day_only(log: Log) -> None:
    first_seen: dict[str, int] = {}
    for request in requests_of(log):
        first_seen.setdefault(request.user_id, (request.event_time - log[0].event_time) // DAY_MS)
    assert sum(day == 1 for day in first_seen.values()) > 20


def test_yesterdays_taste_is_worse_today_and_this_mornings_better() -> None:
    world = World(np.random.default_rng(5), users=400, items=400, days=2)
    everybody = np.arange(400)
    agreement = []
    yesterday = world.tastes
    for hour in range(24):
        world.advance(1.0)
        agreement.append(float((yesterday[everybody] * world.tastes).sum(axis=1).mean()))
        if hour == 20:
            evening = world.tastes
    assert agreement[0] > 0.9 and agreement[-1] < 0.7
    assert float((evening * world.tastes).sum(axis=1).mean()) > agreement[-1] + 0.1


def test_chances_sum_to_one_and_spare_what_does_not_exist_or_was_clicked() -> None:
    world = World(np.random.default_rng(6), users=50, items=200, days=1)
    world.clicked[7, :20] = True
    chances = world.preferences(np.arange(50), DAY_MS // 2, mix=0.5)
    assert chances.sum(axis=1) == pytest.approx(np.ones(50), rel=1e-5)
    assert not chances[7, :20].any()
    assert not chances[:, world.items.gone <= DAY_MS // 2].any()


def test_the_mix_decides_between_tastes_and_trends() -> None:
    world = World(np.random.default_rng(7), users=50, items=200, days=1)
    tastes, trends = (world.preferences(np.arange(50), DAY_MS // 2, mix) for mix in (0.0, 1.0))
    assert np.ptp(trends, axis=0).max() < 1e-6  # everybody the same
    assert np.ptp(tastes, axis=0).max() > 0.01


def test_a_trend_rises_within_half_an_hour_and_fades_within_hours() -> None:
    world = World(np.random.default_rng(8), users=10, items=200, days=1)
    burst = int(np.argmax(world.bursts.strength))
    item, start = int(world.bursts.item[burst]), int(world.bursts.start[burst])
    before, risen, later = (
        world.bursts.strengths(200, start + after)[item] for after in (-1, HOUR_MS // 2, 12 * HOUR_MS)
    )
    assert risen > 10 * before and risen > 10 * later
