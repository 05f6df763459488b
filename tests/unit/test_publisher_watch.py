"""What `publish run` does by itself: publish when due, cut over to a base that is ready, roll back what does worse."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import served
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.errors import MissingInput
from contracts.layout import Layout
from contracts.rebases import State
from contracts.rollback import rollback
from contracts.served import Served
from publisher.promotion import Order, publish_once
from publisher.schedule import Publishing, Schedule
from publisher.settings import Limits, PublisherSettings
from publisher.watch import fallen, ready_base
from tests.support.bases import CUT, MINUTE, Hits, Tiny, append_delta, append_round, random_changes, stand, tiny_base

GOOD, BAD, LEVEL = Hits(600, 120, 100), Hits(600, 40, 100), Hits(600, 100, 100)
BLIND = Limits(recall_clicks=10**9)  # the gate lets everything pass, so that the watch has something to do
SETTINGS = PublisherSettings()
OPEN = PublisherSettings(limits=Limits(recall_clicks=500))
ORDER = Order("someone", "a test")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


def day(layout: Layout, base: OpenBase, *rounds: Hits) -> Entry[Served]:
    """Publish the base, and one version for each half hour with these hits, whatever a gate would say."""
    publish_once(layout, SETTINGS, ORDER)
    for seed, hits in enumerate(rounds, start=1):
        append_round(layout, base, seed, hits)
        publish_once(layout, PublisherSettings(limits=BLIND), ORDER)
    head = served.head(layout)
    assert head is not None
    return head


def test_rows_that_do_worse_for_two_hours_go_back_to_the_version_before(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, GOOD, GOOD, BAD, BAD, BAD, BAD)
    fall = fallen(layout, OPEN, head)
    assert fall is not None
    assert (fall.to, fall.why) == (3, "for 2 h recall@20 was 0.0667, the frozen base's 0.1667")


@pytest.mark.parametrize(
    "rounds",
    [
        (GOOD, GOOD, GOOD, GOOD),
        (BAD, BAD, GOOD, GOOD),
        (GOOD, GOOD, BAD, BAD),
        (LEVEL, LEVEL, LEVEL, LEVEL),
        (Hits(50, 0, 20),) * 4,
        (BAD, BAD),
    ],
)
def test_what_is_well_or_recent_or_seldom_asked_is_left_alone(
    layout: Layout, base: OpenBase, rounds: tuple[Hits, ...]
) -> None:
    assert fallen(layout, OPEN, day(layout, base, *rounds)) is None


def test_it_can_be_switched_off(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, BAD, BAD, BAD, BAD)
    assert fallen(layout, PublisherSettings(rollback_after_seconds=0), head) is None


def test_after_a_rollback_only_what_came_since_is_judged(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, GOOD, BAD, BAD, BAD, BAD)
    assert fallen(layout, OPEN, head) is not None
    back = rollback(layout, 2, "someone", "by hand")
    assert fallen(layout, OPEN, back) is None
    append_round(layout, base, 9, BAD)
    entry = publish_once(layout, PublisherSettings(limits=BLIND), ORDER)
    assert entry is not None
    assert fallen(layout, OPEN, entry) is None


def test_the_schedule_rolls_back_by_itself_and_says_why_in_the_history(layout: Layout, base: OpenBase) -> None:
    day(layout, base, GOOD, GOOD, BAD, BAD, BAD, BAD)
    said: list[str] = []
    schedule = Schedule(Publishing(layout, OPEN, ORDER), 1800.0, said.append)
    schedule.tick(0.0)
    head = served.head(layout)
    assert head is not None
    assert (head.body.action, head.body.content_of, head.body.who) == ("rollback", 3, "publish run")
    assert head.body.why.startswith("automatic: for 2 h recall@20")
    assert said[-1].startswith("Rolled back to the content of version 3, as version 8:")
    append_round(layout, base, 9, BAD)
    schedule.tick(1800.0)
    assert "recall: recall@20 0.0667, frozen base 0.1667" in said[-1]
    assert served.head(layout) == head


def caught_up(layout: Layout, other: OpenBase, rounds: int, hits: Hits) -> None:
    for seed in range(1, rounds + 1):
        append_round(layout, other, seed, hits)


def newer(layout: Layout, state: State = "ready") -> OpenBase:
    """Return a base that was cut an hour later, as far on its way as `state`."""
    made = tiny_base(layout, Tiny("newer", seed=1, cut_watermark=CUT + 60 * MINUTE))
    stand(layout, made, state)
    return made


@pytest.mark.parametrize("state", ["announced", "verified", "folding", "scored", "refused"])
def test_a_base_that_the_trainer_does_not_call_ready_is_not_cut_over_to(
    layout: Layout, base: OpenBase, state: State
) -> None:
    head = day(layout, base, *(GOOD,) * 4)
    caught_up(layout, newer(layout, state), 2, GOOD)
    assert ready_base(layout, SETTINGS, head) is None


def test_a_base_that_nobody_has_announced_is_cut_over_to_by_hand_alone(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, *(GOOD,) * 4)
    caught_up(layout, tiny_base(layout, Tiny("newer", seed=1, cut_watermark=CUT + 60 * MINUTE)), 2, GOOD)
    assert ready_base(layout, SETTINGS, head) is None


def test_the_record_of_another_base_of_the_same_name_makes_none_ready(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, *(GOOD,) * 4)
    stand(layout, newer(Layout(layout.root / "elsewhere")), "ready")
    caught_up(layout, tiny_base(layout, Tiny("newer", seed=2, cut_watermark=CUT + 60 * MINUTE)), 2, GOOD)
    assert ready_base(layout, SETTINGS, head) is None


def test_a_newer_base_is_ready_when_every_partition_has_caught_up(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, GOOD, GOOD, GOOD, GOOD, GOOD, GOOD)  # three hours after the cut
    other = newer(layout)
    assert ready_base(layout, SETTINGS, head) is None
    caught_up(layout, other, 2, GOOD)
    assert ready_base(layout, SETTINGS, head) is None
    append_delta(layout, other, 0, random_changes(other, 0, 3), hits=GOOD)
    assert ready_base(layout, SETTINGS, head) is None
    append_delta(layout, other, 1, random_changes(other, 1, 3), hits=GOOD)
    assert ready_base(layout, SETTINGS, head) == "newer"


def test_a_newer_base_that_finds_less_than_the_served_one_is_not_ready(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, *(GOOD,) * 4)
    caught_up(layout, newer(layout), 2, Hits(600, 60, 50))
    assert ready_base(layout, SETTINGS, head) is None


def test_an_older_base_or_one_of_another_topic_is_never_ready(layout: Layout, base: OpenBase) -> None:
    head = day(layout, base, GOOD)
    tiny_base(layout, Tiny("older", seed=1, cut_watermark=CUT - MINUTE))
    tiny_base(layout, Tiny("more-partitions", seed=1, partitions=3, cut_watermark=CUT + 30 * MINUTE))
    assert ready_base(layout, SETTINGS, head) is None


def test_the_schedule_cuts_over_at_once_and_never_undoes_a_rollback(layout: Layout, base: OpenBase) -> None:
    day(layout, base, *(GOOD,) * 4)
    said: list[str] = []
    schedule = Schedule(Publishing(layout, SETTINGS, ORDER), 1800.0, said.append)
    schedule.tick(0.0)
    assert said == ["Nothing new to publish."]
    caught_up(layout, newer(layout), 2, GOOD)
    schedule.tick(5.0)
    head = served.head(layout)
    assert head is not None
    assert (head.body.base_id, head.body.action) == ("newer", "cut_over")
    assert said[1:] == [
        "Base newer has caught up and is no worse: cutting over.",
        "Version 6 is served: base newer, 4 deltas over 2 partitions.",
    ]
    back = rollback(layout, 5, "someone", "by hand")
    for now in (10.0, 15.0, 1800.0, 1805.0):
        schedule.tick(now)
    assert served.head(layout) == back


def test_by_hand_means_by_hand(layout: Layout, base: OpenBase) -> None:
    day(layout, base, *(GOOD,) * 4)
    caught_up(layout, newer(layout), 2, GOOD)
    for settings, order in (
        (PublisherSettings(cut_over="by hand"), ORDER),
        (SETTINGS, Order("someone", "a test", "tiny")),
    ):
        schedule = Schedule(Publishing(layout, settings, order), 1800.0, lambda _: None)
        schedule.tick(0.0)
        schedule.tick(5.0)
        head = served.head(layout)
        assert head is not None
        assert head.body.base_id == "tiny"


def test_a_base_that_a_gate_refuses_is_tried_once_an_interval(layout: Layout, base: OpenBase) -> None:
    day(layout, base, *(GOOD,) * 4)
    caught_up(layout, newer(layout), 2, Hits(600, 120, 400))  # no worse than what is served, worse than its own control
    said: list[str] = []
    schedule = Schedule(Publishing(layout, SETTINGS, ORDER), 1800.0, said.append)
    for now in (0.0, 5.0, 10.0, 15.0):
        schedule.tick(now)
    assert len([line for line in said if "was not published" in line]) == 1
    schedule.tick(1800.0)
    schedule.tick(1805.0)
    assert len([line for line in said if "was not published" in line]) == 2
    assert served.refused(layout).verify() == 1


def test_before_there_is_a_base_the_schedule_says_so_and_waits(layout: Layout) -> None:
    said: list[str] = []
    schedule = Schedule(Publishing(layout, SETTINGS, ORDER), 1800.0, said.append)
    schedule.tick(0.0)
    schedule.tick(5.0)
    assert len(said) == 1
    assert "no base under" in said[0]
    assert "Trying again in 1800 s." in said[0]
    with pytest.raises(MissingInput):
        publish_once(layout, SETTINGS, ORDER)
    tiny_base(layout)
    schedule.tick(1800.0)
    assert said[-1] == "Version 1 is served: base tiny, 0 deltas over 2 partitions."


def test_a_damaged_base_nearby_is_said_once_an_interval_and_publishing_goes_on(layout: Layout, base: OpenBase) -> None:
    day(layout, base, GOOD)
    (layout.base("newer")).mkdir()
    (layout.base("newer") / "base.json").write_bytes(b"rubbish")
    said: list[str] = []
    schedule = Schedule(Publishing(layout, SETTINGS, ORDER), 1800.0, said.append)
    for now in (0.0, 5.0, 10.0):
        schedule.tick(now)
    assert [line for line in said if "could not be decided" in line] == [said[-1]]
    assert said[-1].startswith("Whether a base is ready could not be decided: ")
    append_round(layout, base, 9, GOOD)
    schedule.tick(1800.0)
    assert said[-1] == "Version 3 is served: base tiny, 4 deltas over 2 partitions."
