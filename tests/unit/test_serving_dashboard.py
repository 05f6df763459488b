"""The dashboard's numbers: what they say of a day, what they say when a part is away, and what looking costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from contracts import rollback, served
from contracts.bases import OpenBase
from contracts.chain import Chain
from contracts.layout import Layout
from contracts.served import Gate
from infra.ports import free_ports
from serving.dashboard import Dashboard
from serving.overview import Overview, attention
from serving.service import Service
from serving.settings import Arm, ServingSettings
from tests.support.bases import CUT, MINUTE, Tiny, append_delta, random_changes, serve, tiny_base
from tests.support.days import (
    HALF_HOUR,
    a_day,
    a_round,
    append_samples,
    damage,
    have_a_next_base,
    have_nights,
    publish,
    refuse,
)

EXACT = ServingSettings(search="exact", refresh_seconds=60)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@contextmanager
def looking(layout: Layout, settings: ServingSettings = EXACT) -> Iterator[tuple[Dashboard, Service]]:
    service = Service(layout, settings)
    service.start()
    try:
        yield Dashboard(service), service
    finally:
        service.close()


def look(layout: Layout, settings: ServingSettings = EXACT) -> Overview:
    with looking(layout, settings) as (dashboard, _):
        return dashboard.look()


def counts(page: Overview) -> dict[str, int]:
    return {line.name: line.count for line in page.lines}


def wrong(page: Overview) -> list[str]:
    return [line.name for line in page.lines if line.expected not in (None, line.count)]


def test_a_day_on_which_all_is_well_needs_no_look(layout: Layout) -> None:
    a_day(layout, 6)
    page = look(layout)
    assert (page.head, page.attention, page.away, wrong(page)) == (7, [], [], [])
    assert [version.number for version in page.versions] == [7, 6, 5, 4, 3, 2, 1]
    assert page.answering is not None
    assert page.answering.version == 7
    assert {gate.name for gate in page.versions[0].gates} == {"base", "norms", "recall"}
    assert [version.may_return for version in page.versions] == [False, *[True] * 6]


def test_recall_of_a_version_is_that_of_the_deltas_it_showed_first(layout: Layout) -> None:
    base = a_day(layout, 3)
    append_delta(layout, base, 0, random_changes(base, 0, 9), 5)  # without validation records
    publish(layout, base, CUT + 4 * HALF_HOUR)
    intervals = [version.interval for version in look(layout).versions]
    assert [interval.clicks for interval in intervals] == [0, 1100, 1160, 920, 0]
    assert [interval.samples for interval in intervals] == [5, 1100, 1160, 920, 0]


@pytest.mark.parametrize("rounds", [1, 3])
def test_counts_add_up_from_the_log_to_what_is_served(layout: Layout, rounds: int) -> None:
    base = a_day(layout, rounds)
    samples = counts(look(layout))["samples in deltas"]
    append_samples(layout, base, 0, 70, CUT + 9 * HALF_HOUR)
    append_samples(layout, base, 1, 40, CUT + 9 * HALF_HOUR)
    append_delta(layout, base, 1, random_changes(base, 1, 9), 40)
    page = look(layout)
    found = counts(page)
    assert wrong(page) == []
    assert (found["waiting for the trainer"], found["waiting for the publisher"]) == (70, 40)
    assert (found["samples in deltas"], found["samples served"]) == (samples + 40, samples)
    assert found["samples in shards"] == samples + sum(base.manifest.cut) + 110


def test_held_samples_are_counted_as_held_before_and_after_the_next_publish(layout: Layout) -> None:
    base = a_day(layout, 3)
    whole = counts(look(layout))["samples served"]
    rollback.rollback(layout, 2, "someone", "a test")
    page = look(layout)
    found, last = counts(page), sum(version.interval.samples for version in page.versions[1:3])
    assert (wrong(page), found["held by a rollback"], found["samples served"]) == ([], last, whole - last)
    assert found["waiting for the publisher"] == 0
    assert page.attention == ["Version 2 is served again, by someone: a test"]
    a_round(layout, base, 4)
    publish(layout, base, CUT + 4 * HALF_HOUR, holds=page_holds(layout))
    page = look(layout)
    found = counts(page)
    assert (wrong(page), found["held by a rollback"]) == ([], last)
    assert found["samples served"] == whole - last + page.versions[0].interval.samples


def page_holds(layout: Layout) -> tuple[served.Hold, ...]:
    head = served.head(layout)
    assert head
    return head.body.holds


def test_a_cut_over_counts_no_click_twice(layout: Layout) -> None:
    a_day(layout, 3)
    later = tiny_base(layout, Tiny(base_id="next", cut_watermark=CUT + HALF_HOUR, partitions=2))
    for number in (1, 2, 3):
        a_round(layout, later, number)  # the first two are of log that the former base has served
    serve(layout, later, action="cut_over", trend_time=CUT + 4 * HALF_HOUR)
    newest = look(layout).versions[0]
    assert (newest.action, newest.base_id) == ("cut_over", "next")
    assert newest.interval.samples == 400 + 60 * (21 % 5) + 400 + 60 * (24 % 5)


def test_a_log_that_lost_samples_does_not_add_up(layout: Layout) -> None:
    base = a_day(layout, 2)
    append_delta(layout, base, 0, random_changes(base, 0, 9), 33)  # samples that no shard holds
    page = look(layout)
    assert wrong(page) == ["waiting for the trainer"]
    assert "Counts do not add up: waiting for the trainer: -33, and not 0 (0 or more)." in page.attention


def test_each_hop_says_how_new_it_is_and_how_far_behind(layout: Layout) -> None:
    base = a_day(layout, 2)
    append_samples(layout, base, 0, 70, CUT + 4 * HALF_HOUR)
    append_samples(layout, base, 0, 0, CUT + 5 * HALF_HOUR)  # silence: a shard without samples
    append_delta(layout, base, 0, random_changes(base, 0, 9), 0)
    hops = {hop.name: hop for hop in look(layout).hops}
    assert hops["samples"].newest == CUT + 4 * HALF_HOUR - MINUTE
    assert hops["samples"].watermark == CUT + 2 * HALF_HOUR  # of partition 1
    assert (hops["deltas"].newest, hops["deltas"].behind_ms) == (CUT + 2 * HALF_HOUR - MINUTE, 2 * HALF_HOUR)
    assert (hops["served"].newest, hops["served"].behind_ms) == (CUT + 2 * HALF_HOUR - MINUTE, HALF_HOUR)


@pytest.mark.parametrize(("late", "blamed"), [("samples", "The trainer"), ("deltas", "The publisher")])
def test_a_stage_that_falls_behind_is_named(layout: Layout, late: str, blamed: str) -> None:
    base = a_day(layout, 6)
    for number in (7, 8, 9):
        for partition in range(2):
            append_samples(layout, base, partition, 10, CUT + number * HALF_HOUR)
            if late == "deltas":
                append_delta(layout, base, partition, random_changes(base, partition, number), 10)
    (sentence,) = look(layout).attention
    assert sentence.startswith(f"{blamed} is late: ")
    assert sentence.endswith("are 90 min of log time behind, and versions came every 30 min.")


def test_a_log_that_stands_still_is_told_by_the_clock_unless_it_is_replayed(layout: Layout, tmp_path: Path) -> None:
    an_hour_ago = int(time.time() * 1000) - 61 * MINUTE
    a_day(layout, 6, now=an_hour_ago)
    (sentence,) = look(layout).attention
    assert sentence.startswith("The log stands still: samples end 61 min ago by the clock")
    live, replayed = Layout(tmp_path / "live"), Layout(tmp_path / "replayed")
    a_day(live, 6, now=an_hour_ago + 55 * MINUTE)
    a_day(replayed, 6)
    assert (look(live).attention, look(replayed).attention) == ([], [])


def test_what_was_refused_overruled_or_is_worse_than_frozen_is_said(layout: Layout) -> None:
    base = a_day(layout, 2)
    refuse(layout, base)
    have_nights(layout, base, "planned", "retrained", "announced")
    have_nights(layout, base, "planned", "retrained", "refused", why="it is worse")
    have_a_next_base(layout, base)
    said = look(layout)
    night = "The night of 2017-10-04 was refused: it is worse"
    assert said.attention == ["A version after 3 was refused, by recall.", night]
    assert ([night.step for night in said.nights], said.next_base and said.next_base.state) == (
        ["refused", "announced"],
        "folding",
    )
    publish(layout, base, CUT + 2 * HALF_HOUR, gates=(Gate("norms", False, "too long"),), why="we know")
    worst = msgspec.structs.replace(said.versions[0].interval, clicks=1000, fresh_hits=100, frozen_hits=300)
    now = look(layout)
    assert now.attention[0] == "Version 4 is served against norms: we know"
    worse = msgspec.structs.replace(now, versions=[msgspec.structs.replace(now.versions[0], interval=worst)])
    assert "Fresh rows find less than the frozen base: 0.100 against 0.300 of the last 1,000 clicks." in attention(
        worse
    )


def break_shard(layout: Layout) -> None:
    damage(next(layout.shards("events", 0).glob("*3.json")))


def break_delta(layout: Layout) -> None:
    damage(next(layout.deltas("tiny", 1).glob("*2.json")))


def break_old_version(layout: Layout) -> None:
    damage(next(layout.served().glob("*2.json")))


def break_refusals(layout: Layout) -> None:
    damage(next(layout.refused().glob("*1.json")))


def break_nights(layout: Layout) -> None:
    damage(next(layout.nights("events").glob("*1.json")))


def break_validation(layout: Layout) -> None:
    damage(next(layout.deltas("tiny", 0).glob("*2-*.jsonl")))


@pytest.mark.parametrize(
    ("broken", "part", "gone"),
    [
        (break_shard, "Samples and deltas", {"hops", "lines", "partitions"}),
        (break_delta, "Samples and deltas", {"hops", "lines", "partitions"}),
        (break_old_version, "A manifest cannot be read", set[str]()),
        (break_refusals, "A manifest cannot be read", {"refusals"}),
        (break_nights, "Nights", {"nights"}),
        (break_validation, "Recall of version 3", set[str]()),
    ],
)
def test_a_damaged_part_is_named_and_the_rest_is_shown(
    layout: Layout, broken: Callable[[Layout], None], part: str, gone: set[str]
) -> None:
    base = a_day(layout, 2)
    refuse(layout, base)
    have_nights(layout, base, "planned")
    with looking(layout) as (_, service):  # opened while all was well
        broken(layout)
        page = Dashboard(service).look()
    assert part in {away.part for away in page.away}
    assert any("damaged" in away.error for away in page.away)
    assert any(sentence.startswith(part) for sentence in page.attention)
    shown = {"versions", "refusals", "hops", "lines", "partitions", "nights"}
    assert {name for name in shown if not getattr(page, name)} == gone
    assert page.answering is not None


def test_a_newest_version_that_cannot_be_read_is_told_beside_the_one_that_answers(layout: Layout) -> None:
    a_day(layout, 2)
    with looking(layout) as (dashboard, service):
        damage(next(layout.served().glob("*3.json")))
        served.chain(layout)
        page = dashboard.look()
        assert page.answering is not None
        assert (page.head, page.versions[0].number, page.answering.version) == (3, 2, 3)
        assert "damaged" in page.attention[0]
        service.refresh()


def test_before_the_first_publish_the_samples_are_shown(layout: Layout) -> None:
    empty = look(layout)
    assert (empty.attention[0], empty.head, empty.hops) == ("Nothing is served yet.", 0, [])
    base = tiny_base(layout)
    append_samples(layout, base, 0, 120, CUT)
    append_samples(layout, base, 1, 101, CUT)
    page = look(layout)
    assert (page.attention, page.answering, page.versions) == (["Nothing is served yet."], None, [])
    newest = {hop.name: hop.newest for hop in page.hops}
    assert newest == {"samples": CUT - MINUTE, "deltas": None, "served": None}
    assert counts(page)["waiting for the trainer"] == 20
    assert wrong(page) == []


def test_deltas_of_a_base_that_is_gone_leave_the_versions_on_it_without_recall(layout: Layout) -> None:
    base = a_day(layout, 2)
    later = tiny_base(layout, Tiny(base_id="next", cut_watermark=CUT + 2 * HALF_HOUR))
    serve(layout, later, action="cut_over")
    layout.base("tiny").rename(layout.retired_base("tiny", "x"))
    page = look(layout)
    assert (page.away, base.manifest.base_id) == ([], "tiny")
    may_return = [(version.base_id, version.may_return) for version in page.versions[:2]]
    assert may_return == [("next", False), ("tiny", False)]
    assert {version.interval.clicks for version in page.versions} == {0}


def test_an_open_dashboard_reads_a_version_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    base = a_day(layout, 5)
    read = list[str]()
    true_read = Chain.read

    def noted(chain: Chain[Any], number: int) -> Any:
        read.append(f"{chain.directory.relative_to(layout.root)} {number}")
        return true_read(chain, number)

    with looking(layout) as (dashboard, service):
        dashboard.look()
        monkeypatch.setattr(Chain, "read", noted)
        dashboard.look()
        heads = sorted(f"{chain} {number}" for chain, number in heads_of(2, 5))
        assert sorted(set(read)) == heads
        a_round(layout, base, 6)
        publish(layout, base, CUT + 6 * HALF_HOUR)
        service.refresh()
        read.clear()
        dashboard.look()
        assert not [name for name in read if name.startswith("served") and int(name.split()[1]) < 6]
        assert dashboard.look().versions[0].interval.clicks > 0


def heads_of(partitions: int, rounds: int) -> Iterator[tuple[str, int]]:
    yield "served", rounds + 1
    for partition in range(partitions):
        yield f"deltas/tiny/{partition:05d}", rounds
        yield f"shards/events/{partition:05d}", rounds + 1


def test_however_many_look_at_once_it_is_made_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    a_day(layout, 1)
    with looking(layout) as (dashboard, _):
        made, true_look = list[int](), dashboard.look

        def counted() -> Overview:
            made.append(1)
            return true_look()

        monkeypatch.setattr(dashboard, "look", counted)
        threads = [threading.Thread(target=dashboard.overview) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert msgspec.json.decode(dashboard.overview().plain, type=Overview).head == 2


def test_a_chain_that_was_forked_is_told(layout: Layout) -> None:
    base = a_day(layout, 2)
    (first,) = layout.served().glob("*1.json")
    with looking(layout) as (dashboard, _):
        assert dashboard.look().away == []
        first.unlink()
        chain = served.chain(layout)
        body = chain.read(2).body
        chain.create(chain.prepare(None, msgspec.structs.replace(body, who="somebody else"), {}))
        serve(layout, base)
        page = Dashboard(Service(layout, EXACT)).look()
    assert "is not the one that its successor names" in page.away[0].error


def test_arms_are_listed_with_what_they_answer(layout: Layout) -> None:
    a_day(layout, 1)
    arms = (Arm(name="control", share=0.25, serves="frozen"), Arm(name="held", share=0.25, serves=1))
    page = look(layout, ServingSettings(search="exact", arm=arms))
    assert page.answering is not None
    assert [(arm.arm, arm.share, arm.version) for arm in page.answering.arms] == [
        ("control", 0.25, 2),
        ("held", 0.25, 1),
        ("served", 0.5, 2),
    ]


def test_a_vector_store_and_a_redis_that_are_away_are_named(layout: Layout, unused_address: str) -> None:
    a_day(layout, 1)
    settings = ServingSettings(
        milvus_uri=f"http://{unused_address}", timeout_seconds=0.5, redis_url=SecretStr(f"redis://{unused_address}/0")
    )
    page = look(layout, settings)
    assert page.search.startswith("exact, for Milvus is away (")
    assert page.attention == [
        f"Items are found by {page.search}.",
        "Redis does not answer (ConnectionError): user vectors are computed.",
    ]


@pytest.fixture
def unused_address() -> str:
    (port,) = free_ports(1)
    return f"127.0.0.1:{port}"


def test_a_base_on_disk_that_is_not_the_one_served_is_named(layout: Layout, tmp_path: Path) -> None:
    base: OpenBase = a_day(layout, 1)
    with looking(layout) as (dashboard, _):
        layout.base("tiny").rename(tmp_path / "away")
        tiny_base(layout, Tiny(seed=5))
        page = dashboard.look()
    assert base.digest
    assert "base tiny on disk is not the one that is served" in [away.error for away in page.away]


def test_looking_writes_nothing(layout: Layout) -> None:
    a_day(layout, 2)
    before = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*")}
    with looking(layout) as (dashboard, _):
        dashboard.overview()
        dashboard.look()
    assert {path: path.stat().st_mtime_ns for path in layout.root.rglob("*")} == before


def test_looking_takes_no_hold_of_a_file_of_milvus_lite(layout: Layout) -> None:
    a_day(layout, 1)
    page = look(layout, ServingSettings())
    assert (page.search, page.attention) == ("milvus, in a file: not tried", [])
    assert not layout.item_store().exists()
