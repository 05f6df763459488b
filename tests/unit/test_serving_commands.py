"""`freshet retrieve`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import NothingServed, UsageError
from contracts.layout import Layout
from serving import commands
from tests.support.bases import NO_FEATURES, Tiny, append_round, serve, tiny_base


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("FRESHET_SERVING_SEARCH", "exact")
    monkeypatch.setenv("COLUMNS", "120")
    return Layout(tmp_path)


def retrieve(layout: Layout, *arguments: str) -> int:
    return commands.retrieve(["--root", str(layout.root), *arguments])


def test_the_table_names_version_base_row_age_and_clicks(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny_base(layout)
    append_round(layout, base, 1)
    serve(layout, base)
    assert retrieve(layout, "--user", "u1", "-k", "3") == 0
    said = capsys.readouterr().out
    assert "Version 1, base tiny; items found by: exact" in said
    assert "User u1 (partition 0): own row from the base, 4 clicks, the last 31 min before what is served" in said
    assert len([line for line in said.splitlines() if line.startswith("│")]) == 3


def test_an_unknown_user_is_told_so(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    serve(layout, tiny_base(layout))
    assert retrieve(layout, "--user", "\N{SNOWMAN} [bold]") == 0
    said = capsys.readouterr().out
    assert "\N{SNOWMAN} [bold]" in said
    assert "unknown user: common row" in said


def test_a_user_id_that_no_log_can_hold_is_refused(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        retrieve(layout, "--user", "\udcff")
    assert refused.value.code == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_json_is_one_object_with_the_whole_answer(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    serve(layout, tiny_base(layout))
    assert retrieve(layout, "--user", "u1", "-k", "2", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["how"], told["delta"], len(told["items"])) == (1, "own row", 0, 2)
    assert set(told["items"][0]) == {"item_id", "score", "trend"}


def test_context_reaches_the_tower_as_text_and_as_numbers(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    serve(layout, tiny_base(layout))
    answers = []
    for context in ([], ["--context", "country=US", "--context", "hour=60"]):
        retrieve(layout, "--user", "u1", "--json", *context)
        answers.append(json.loads(capsys.readouterr().out)["items"])
    assert answers[0] != answers[1]


def test_the_frozen_answer_has_no_trend(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    serve(layout, tiny_base(layout))
    assert retrieve(layout, "--user", "u1", "--frozen", "--json") == 0
    assert {item["trend"] for item in json.loads(capsys.readouterr().out)["items"]} == {0.0}


def test_a_feature_that_the_base_does_not_know_is_refused_with_those_it_knows(layout: Layout) -> None:
    serve(layout, tiny_base(layout))
    with pytest.raises(UsageError, match="'colour'") as raised:
        retrieve(layout, "--user", "u1", "--context", "colour=red")
    assert raised.value.hint == "It knows country, device, hour."
    serve(layout, tiny_base(layout, Tiny("plain", context=NO_FEATURES)))
    with pytest.raises(UsageError) as raised:
        retrieve(layout, "--user", "u1", "--context", "colour=red")
    assert raised.value.hint == "It was trained without context."


@pytest.mark.parametrize("value", ["noon", "nan", "inf", "1e300"])
def test_a_number_that_is_none_is_refused(layout: Layout, value: str) -> None:
    serve(layout, tiny_base(layout))
    with pytest.raises(UsageError, match=value):
        retrieve(layout, "--user", "u1", "--context", f"hour={value}")


@pytest.mark.parametrize("arguments", [[], ["--user", "u", "-k", "0"], ["--user", "u", "--context", "hour"]])
def test_a_wrong_command_line_exits_2(layout: Layout, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        retrieve(layout, *arguments)
    assert raised.value.code == 2


def test_before_the_first_publish_it_says_so(layout: Layout) -> None:
    with pytest.raises(NothingServed):
        retrieve(layout, "--user", "u1")


def test_numpy_is_not_there_yet_when_serve_limits_its_threads() -> None:
    code = "import sys, serving.commands_serve; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
