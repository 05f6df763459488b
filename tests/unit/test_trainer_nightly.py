"""The night: every whole day once, a record of each step, and a night that is missed or refused costs nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from contracts import crash, nights, rebases, shards
from contracts.arrays import Integers
from contracts.bases import BaseStore, OpenBase
from contracts.errors import MissingInput
from contracts.layout import Layout
from contracts.nights import Night
from contracts.samples import Sample
from tests.support.shards import Log, ShardWriter, by_partition
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes
from tests.support.trained import fold, small_settings, train
from trainer import commands_night, night_review
from trainer.evaluation.day import LogDay, read_log_day
from trainer.nightly import NightOrder, nightly, rebasing
from trainer.rebase import rebase, refuse
from trainer.settings import TrainerSettings
from trainer.training_days import open_topic

REPOSITORY = Path(__file__).parents[2]
FOUR_DAYS = Tastes(days=4)
DAYS = ("2025-01-06", "2025-01-07", "2025-01-08", "2025-01-09")
WHOLE = ("planned", "retrained", "evaluated", "passed", "announced")


def order(layout: Layout, accept: str = "") -> NightOrder:
    settings = small_settings(day={"check": True, "volume_factor": 3.0}, night={"judge_clicks": 20})
    return NightOrder(layout, "events", settings, "someone", accept)


def until(layout: Layout, day: int, tastes: Tastes = FOUR_DAYS) -> None:
    """Commit the next day of the log, and a little of the day after."""
    head = shards.chain(layout, "events", 0).head()
    done = head.body.next_ordinal if head else 0
    end = MIDNIGHT + (day + 1) * DAY_MS + 60_000
    (found,) = by_partition(Log(), tastes.samples()).values()
    new = [sample for sample in found if sample.watermark < end][done:]
    ShardWriter(layout).append(new, end)


def steps(layout: Layout) -> tuple[str, ...]:
    return tuple(entry.body.step for entry in nights.chain(layout, "events").entries())


def night(layout: Layout, accept: str = "") -> Night | None:
    entry = nightly(order(layout, accept))
    return entry.body if entry else None


def taken_over(layout: Layout, body: Night | None) -> str:
    """Rebase onto the night's base; return how that ended."""
    assert body is not None
    what = rebasing(order(layout), BaseStore(layout).open(body.base_id))
    try:
        return rebase(what).body.state
    finally:
        what.branches.close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_nights_follow_each_other_each_on_the_base_of_the_one_before(layout: Layout) -> None:
    until(layout, 0)
    first = night(layout)
    assert first is not None
    assert (first.step, first.days, first.parent, first.review) == ("announced", DAYS[:1], "", {})
    assert taken_over(layout, first) == "ready"
    until(layout, 1)
    second = night(layout)
    assert second is not None
    assert (second.days, second.parent) == (DAYS[1:2], first.base_id)
    assert set(second.review) >= {"frozen.all", "fresh.active", "yesterday.all", "last_hour.active"}
    assert [(gate.name, gate.passed) for gate in second.gates] == [("kept", True), ("fit", True)]
    assert taken_over(layout, second) == "ready"
    assert steps(layout) == WHOLE * 2


def test_before_a_day_is_whole_there_is_nothing_to_do(layout: Layout) -> None:
    ShardWriter(layout).append(numbered(FOUR_DAYS.day(0)[:9], 0), MIDNIGHT + DAY_MS - 1)
    assert night(layout) is None
    assert steps(layout) == ()
    until(layout, 0)
    assert night(layout) is not None
    assert night(layout) is None
    assert steps(layout) == WHOLE


def test_without_shards_it_says_what_is_missing(layout: Layout) -> None:
    with pytest.raises(MissingInput, match="has no shards"):
        night(layout)


@pytest.mark.parametrize("missed", [1, 2])
def test_missed_nights_are_caught_up_by_the_next_one_on_the_same_parent(layout: Layout, missed: int) -> None:
    until(layout, 0)
    first = night(layout)
    assert first is not None
    for day in range(1, missed + 2):
        until(layout, day)
    body = night(layout)
    assert body is not None
    assert (body.step, body.days, body.parent) == ("announced", DAYS[1 : missed + 2], first.base_id)
    assert BaseStore(layout).open(body.base_id).manifest.days == DAYS[1 : missed + 2]


def flood(layout: Layout, day: int) -> None:
    """Commit a day with five times the clicks of others."""
    many = [sample for part in range(5) for sample in replace(FOUR_DAYS, seed=part).day(day)]
    many.sort(key=lambda sample: sample.watermark)
    first = shards.chain(layout, "events", 0).head()
    assert first is not None
    end = MIDNIGHT + (day + 1) * DAY_MS + 60_000
    ShardWriter(layout).append(numbered(many, first.body.next_ordinal), end)


def numbered(found: list[Sample], first: int) -> list[Sample]:
    return [msgspec.structs.replace(sample, ordinal=first + n) for n, sample in enumerate(found)]


def test_a_day_unlike_those_before_it_refuses_the_night_by_name_and_everything_goes_on_as_it_was(
    layout: Layout,
) -> None:
    until(layout, 0)
    first = night(layout)
    assert first is not None
    flood(layout, 1)
    body = night(layout)
    assert body is not None
    assert (body.step, body.parent, body.base_id) == ("refused", first.base_id, "")
    assert f"day {DAYS[1]} is unlike the 1 days before it" in body.why
    assert BaseStore(layout).ids() == [first.base_id]
    base = BaseStore(layout).open(first.base_id)
    assert fold(layout, base, order(layout).settings) > 0
    assert night(layout) == body
    assert steps(layout) == (*WHOLE, "planned", "refused")


def test_a_refused_day_is_taken_when_somebody_says_why(layout: Layout) -> None:
    until(layout, 0)
    night(layout)
    flood(layout, 1)
    night(layout)
    body = night(layout, accept="it was election day")
    assert body is not None
    assert (body.step, body.days) == ("announced", DAYS[1:2])


def learned_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the push gate see a new base that finds nothing of its own day."""
    real = night_review._found
    asked: list[int] = []

    def found(base: OpenBase, day: LogDay, at: Integers) -> int:
        asked.append(1)
        return real(base, day, at) if len(asked) % 2 else 0

    monkeypatch.setattr(night_review, "_found", found)


def test_a_base_that_the_push_gate_refuses_is_nobodys_parent_and_the_next_night_trains_its_day_again(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(layout, 0)
    first = night(layout)
    assert first is not None
    taken_over(layout, first)
    until(layout, 1)
    with monkeypatch.context() as patched:
        learned_nothing(patched)
        body = night(layout)
    assert body is not None
    assert body.step == "refused"
    assert body.why.startswith("fit: recall@20 0.0000 on 600 clicks of the day it learned, its parent ")
    assert [(gate.name, gate.passed) for gate in body.gates] == [("kept", True), ("fit", False)]
    refused = BaseStore(layout).open(body.base_id)
    assert rebases.state(layout, refused) == "refused"
    assert rebases.newest(layout, "events").manifest.base_id == first.base_id
    assert night(layout) == body
    until(layout, 2)
    third = night(layout)
    assert third is not None
    assert (third.step, third.days, third.parent) == ("announced", DAYS[1:3], first.base_id)


def test_a_base_that_forgot_most_items_or_users_is_refused(layout: Layout) -> None:
    until(layout, 0)
    until(layout, 1)
    body = night(layout)
    assert body is not None
    base = BaseStore(layout).open(body.base_id)
    for kept, passed in ((0.5, True), (1.1, False)):
        chosen = order(layout).settings.night.model_copy(update={"kept_share": kept, "fit_clicks": 0})
        day = read_log_day(open_topic(layout, "events"), DAYS[0], "UTC")
        gates = night_review.push_gates(base, base, day, chosen)
        assert [gate.passed for gate in gates] == [passed, True]


POINTS = [f"nightly.record.{when}@{n}" for n in range(1, 6) for when in ("before", "after")]


@pytest.fixture(scope="module")
def second_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which the second night is to come."""
    layout = Layout(tmp_path_factory.mktemp("second") / "run")
    until(layout, 0)
    night(layout)
    until(layout, 1)
    return layout.root


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_at_any_point_of_a_night_leaves_what_the_next_run_brings_to_its_end(
    second_night: Path, tmp_path: Path, point: str
) -> None:
    layout = Layout(tmp_path / "run")
    shutil.copytree(second_night, layout.root)
    program = (
        "import sys; from tests.unit.test_trainer_nightly import night; from contracts.layout import Layout; "
        "from pathlib import Path; night(Layout(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(layout.root)]
    killed = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, crash.VARIABLE: point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    until(layout, 2)  # another day has become whole meanwhile: a night that was begun keeps its days
    body = night(layout)
    if point in ("nightly.record.before@1", "nightly.record.after@5"):
        assert body is not None
        assert body.days[-1] == DAYS[2]
        return
    assert body is not None
    assert (body.step, body.days) == ("announced", DAYS[1:2])
    assert steps(layout) == WHOLE * 2
    nights.chain(layout, "events").verify()


def empty(layout: Layout, day: int) -> None:
    """Commit a day on which nobody clicked."""
    ShardWriter(layout).append([], MIDNIGHT + (day + 1) * DAY_MS + 60_000)


def test_a_day_without_samples_waits_for_the_next_one_and_blocks_nothing(layout: Layout) -> None:
    until(layout, 0)
    night(layout)
    empty(layout, 1)
    assert night(layout) is None
    head = shards.chain(layout, "events", 0).head()
    assert head is not None
    later = [sample for sample in FOUR_DAYS.day(2) if sample.watermark > head.body.watermark]
    ShardWriter(layout).append(numbered(later, head.body.next_ordinal), MIDNIGHT + 3 * DAY_MS + 60_000)
    body = night(layout)
    assert body is not None
    assert (body.step, body.days) == ("announced", DAYS[1:3])


def test_what_cannot_be_trained_is_a_refused_night_and_the_next_one_is_planned_anew(layout: Layout) -> None:
    until(layout, 0)
    first = night(layout)
    until(layout, 1)
    told = order(layout)
    towers = told.settings.towers.model_copy(update={"width": 32})
    other = replace(told, settings=told.settings.model_copy(update={"towers": towers}))
    entry = nightly(other)
    assert entry is not None
    assert entry.body.step == "refused"
    assert "towers of another shape" in entry.body.why
    again = nightly(replace(told, again=True))
    assert again is not None
    assert first is not None
    assert (again.body.step, again.body.parent) == ("announced", first.base_id)


def test_a_parent_that_was_cut_within_a_day_is_followed_by_the_rest_of_that_day(layout: Layout) -> None:
    until(layout, 0)
    until(layout, 1)
    noon = f"{DAYS[0]}T00:00Z/{DAYS[0]}T12:00Z"
    base = train(layout, noon, settings=order(layout).settings)
    body = night(layout, accept="a morning is unlike an afternoon")
    assert body is not None
    assert (body.step, body.parent) == ("announced", base.manifest.base_id)
    assert body.days == (f"{DAYS[0]}T12:00:00.000Z/{DAYS[1]}T00:00:00.000Z", DAYS[1])


def test_a_partition_that_stands_still_is_named_as_what_holds_the_night_up(layout: Layout) -> None:
    log = Log(partitions=2)
    parts = by_partition(log, FOUR_DAYS.samples())
    for partition, end in ((0, MIDNIGHT + 2 * DAY_MS), (1, MIDNIGHT + DAY_MS // 2)):
        found = [sample for sample in parts[partition] if sample.watermark < end]
        ShardWriter(layout, log, partition).append(found, end)
    with pytest.raises(MissingInput, match=f"day {DAYS[0]} .* is not complete: partition 1"):
        night(layout)


def test_the_next_night_first_finishes_the_rebase_of_the_last_one(
    layout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = order(layout).settings
    until(layout, 0)
    first = night(layout)
    assert first is not None
    base = BaseStore(layout).open(first.base_id)
    assert rebases.state(layout, base) == "announced"
    until(layout, 1)
    monkeypatch.setattr(TrainerSettings, "load", lambda **given: chosen)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert commands_night.nightly(["--root", str(layout.root)]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert rebases.state(layout, base) == "ready"
    said = capsys.readouterr().out
    assert said.index(f"ready: base {first.base_id}") < said.index(f"planned: {DAYS[1]}")


def test_a_base_that_its_rebase_refused_is_not_made_again_unless_somebody_says_so(layout: Layout) -> None:
    until(layout, 0)
    night(layout)
    until(layout, 1)
    second = night(layout)
    assert second is not None
    refuse(layout, BaseStore(layout).open(second.base_id), "someone", "it found less")
    assert night(layout) == second
    assert steps(layout) == WHOLE * 2
