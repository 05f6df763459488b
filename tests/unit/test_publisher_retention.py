"""Retiring: what a rollback may need stays, the rest goes whole, and a kill in between is finished by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import served
from contracts.bases import BaseStore
from contracts.errors import MissingInput, NothingServed
from contracts.layout import Layout
from contracts.rollback import rollback
from publisher import commands_versions, item_index, retention
from publisher.item_index import ItemIndex
from publisher.promotion import Order, publish_once
from publisher.retention import Keep
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import CUT, MINUTE, Tiny, append_round, tiny_base

SETTINGS = PublisherSettings()
RETIRE = "import sys; from publisher.commands_versions import retire; sys.exit(retire(sys.argv[1:]))"
ALL_BUT_NEWEST = Keep(versions=1, days=0, now=1 << 60)
NAMES = ("first", "second", "third")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A folder in which three bases were served, one after the other, two versions each."""
    made = Layout(tmp_path)
    for number, name in enumerate(NAMES):
        base = tiny_base(made, Tiny(name, seed=number, cut_watermark=CUT + number * 60 * MINUTE))
        publish_once(made, SETTINGS, Order("someone", "a test", name))
        append_round(made, base, 1)
        publish_once(made, SETTINGS, Order("someone", "a test", name))
        made.trainer_state(name, 0).mkdir(parents=True)
    return made


def left(layout: Layout) -> dict[str, list[str]]:
    """Which bases have a folder, deltas, a trainer's cache and a collection."""
    with ItemIndex(SETTINGS.store_uri(layout), SETTINGS) as index:
        collections = index._client.list_collections()
    folders = {
        "base": layout.bases(),
        "deltas": layout.deltas("x", 0).parent.parent,
        "state": layout.trainer_state("x", 0).parent.parent,
    }
    found = {what: sorted(path.name for path in folder.iterdir()) for what, folder in folders.items()}
    return {**found, "collection": sorted(name.split("_")[2] for name in collections)}


def everything(*names: str) -> dict[str, list[str]]:
    return dict.fromkeys(("base", "deltas", "state", "collection"), sorted(names))


def test_before_the_first_publish_nothing_may_go(tmp_path: Path) -> None:
    tiny_base(Layout(tmp_path))
    with pytest.raises(NothingServed):
        retention.retire(Layout(tmp_path), SETTINGS, ALL_BUT_NEWEST)


@pytest.mark.parametrize(
    ("keep", "stays"),
    [
        (Keep(1, 0, 1 << 60), ("third",)),
        (Keep(2, 0, 1 << 60), ("third",)),
        (Keep(3, 0, 1 << 60), ("second", "third")),
        (Keep(100, 0, 1 << 60), NAMES),
        (Keep(1, 1e9, 1 << 60), ("third",)),
        (Keep(1, 1, 0), NAMES),
        (Keep(1, 0, 1 << 60, {2}), ("first", "third")),
    ],
)
def test_what_a_rollback_may_need_stays(layout: Layout, keep: Keep, stays: tuple[str, ...]) -> None:
    done = retention.retire(layout, SETTINGS, keep)
    assert tuple(kept.base_id for kept in done.kept) == stays
    assert sorted(base.manifest.base_id for base in done.gone) == sorted(set(NAMES) - set(stays))
    assert left(layout) == everything(*stays)
    assert served.chain(layout).verify() == 6
    assert retention.retire(layout, SETTINGS, keep).gone == ()


def test_the_served_base_and_newer_ones_stay_whatever_the_limits_are(layout: Layout) -> None:
    rollback(layout, 2, "someone", "a test")
    tiny_base(layout, Tiny("waiting", seed=9, cut_watermark=CUT + 500 * MINUTE))
    done = retention.retire(layout, SETTINGS, ALL_BUT_NEWEST)
    assert {kept.base_id for kept in done.kept} == {*NAMES, "waiting"}
    assert Retriever(layout, ServingSettings(search="exact")).view.shown.base_id == "first"


def test_a_rollback_to_a_retired_version_says_so(layout: Layout) -> None:
    retention.retire(layout, SETTINGS, ALL_BUT_NEWEST)
    before = served.head(layout)
    with pytest.raises(MissingInput, match="no base 'first'"):
        rollback(layout, 2, "someone", "a test")
    assert served.head(layout) == before


@pytest.mark.parametrize("point", ["publish.retire.1", "publish.retire.2", "publish.retire.3", "publish.retire.3@2"])
def test_a_retire_killed_at_any_step_is_finished_by_the_next(layout: Layout, point: str) -> None:
    command = [sys.executable, "-c", RETIRE, "--root", str(layout.root), "--keep", "1", "--days", "0"]
    environment = {**os.environ, "FRESHET_CRASH_AT": point}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert Retriever(layout, ServingSettings(search="exact")).retrieve("u1", 5).base_id == "third"
    assert "third" in BaseStore(layout).ids()
    retention.retire(layout, SETTINGS, ALL_BUT_NEWEST)
    assert left(layout) == everything("third")


def test_a_base_that_is_needed_by_the_time_it_is_hidden_gets_its_name_back(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def roll_back_in_between(point: str) -> None:
        if point == "publish.retire.1" and "first" not in BaseStore(layout).ids():
            (hidden,) = layout.bases().glob(".first.*")
            hidden.rename(layout.base("first"))  # the rollback looked a moment earlier
            rollback(layout, 2, "someone", "a test")
            layout.base("first").rename(hidden)

    monkeypatch.setattr(retention, "reach", roll_back_in_between)
    retention.retire(layout, SETTINGS, ALL_BUT_NEWEST)
    assert "first" in BaseStore(layout).ids()
    assert Retriever(layout, ServingSettings(search="exact")).view.shown.base_id == "first"


def test_the_command_says_what_would_go_and_what_went(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--root", str(layout.root), "--keep", "3", "--days", "0"]
    assert commands_versions.retire([*arguments, "--dry-run"]) == 0
    assert "Would go: first, " in capsys.readouterr().out
    assert left(layout) == everything(*NAMES)
    assert commands_versions.retire(arguments) == 0
    said = capsys.readouterr().out
    assert "Deleted: first, " in said
    assert "version 4 is among the newest 3" in said
    assert left(layout) == everything("second", "third")
    assert item_index.lost(SETTINGS.store_uri(layout), "any") is False
