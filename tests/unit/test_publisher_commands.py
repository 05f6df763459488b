"""The publisher's command lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import command_line, served
from contracts.errors import MissingInput, NothingServed, UsageError
from contracts.layout import Layout
from publisher import commands, commands_versions
from tests.support.bases import append_round, tiny_base


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def root(layout: Layout) -> list[str]:
    return ["--root", str(layout.root)]


def test_once_says_which_version_is_served_and_when_nothing_was_new(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_base(layout)
    append_round(layout, base, 1)
    assert commands.once([*root(layout), "--why", "first"]) == 0
    assert commands.once(root(layout)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["Version 1 is served: base tiny, 2 deltas over 2 partitions.", "Nothing new to publish."]
    head = served.head(layout)
    assert head is not None
    assert (head.body.who, head.body.why) == (command_line.who(), "first")


def test_once_without_a_base_raises_what_to_do(layout: Layout) -> None:
    with pytest.raises(MissingInput, match="no base"):
        commands.once(root(layout))


def test_rollback_and_history_tell_what_happened(
    layout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    base = tiny_base(layout)
    commands.once(root(layout))
    append_round(layout, base, 1)
    commands.once(root(layout))
    capsys.readouterr()
    assert commands.rollback([*root(layout), "--to", "1", "--why", "recall fell"]) == 0
    assert capsys.readouterr().out == "Version 3 serves the content of version 1 again; 2 deltas are held.\n"
    assert commands_versions.history([*root(layout), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(v["version"], v["action"], v["content_of"]) for v in told] == [
        (1, "publish", 1),
        (2, "publish", 2),
        (3, "rollback", 1),
    ]
    assert commands_versions.history([*root(layout), "--last", "1"]) == 0
    table = capsys.readouterr().out
    assert "recall fell" in table
    assert "publish" not in table


def test_what_a_person_wrote_cannot_move_the_terminal_that_shows_it(
    layout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    tiny_base(layout)
    commands.once([*root(layout), "--why", "a\x1b[2Jb\u202ec"])
    capsys.readouterr()
    for shown in (commands_versions.history, commands_versions.status):
        assert shown(root(layout)) == 0
        said = capsys.readouterr().out
        assert "a\\x1b[2Jb\\u202ec" in said and "\x1b" not in said


@pytest.mark.parametrize("arguments", [["--to", "1"], ["--why", "x"], ["--to", "0", "--why", "x"], ["--to", "one"]])
def test_rollback_needs_a_version_and_a_reason(layout: Layout, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        commands.rollback([*root(layout), *arguments])
    assert raised.value.code == 2


def test_status_and_history_before_the_first_publish_say_so(layout: Layout) -> None:
    for command in (commands_versions.status, commands_versions.history):
        with pytest.raises(NothingServed):
            command(root(layout))


def test_status_is_a_table_for_people_and_json_for_programs(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_base(layout)
    commands.once(root(layout))
    capsys.readouterr()
    assert commands_versions.status(root(layout)) == 0
    assert "Version 1 (publish), base tiny" in capsys.readouterr().out
    assert commands_versions.status([*root(layout), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["base_id"], told["behind_ms"]) == (1, "tiny", -1)
    assert [partition["next_ordinal"] for partition in told["partitions"]] == [100, 101]


def test_an_unknown_setting_is_an_error(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "publisher.toml").write_text("indes = 'HNSW'\n")
    monkeypatch.setenv("FRESHET_CONFIG", str(tmp_path))
    tiny_base(layout)
    with pytest.raises(UsageError, match="'indes'"):
        commands.once(root(layout))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_publishes_and_a_signal_ends_it_cleanly(layout: Layout, number: signal.Signals) -> None:
    tiny_base(layout)
    code = "import sys; from publisher.commands import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *root(layout), "--interval", "3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        said = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(number)
        rest = process.stdout.read()
    assert "Publishing every 3600 s" in said[0]
    assert "Version 1 is served" in said[1]
    assert (process.returncode, rest) == (0, "Ended.\n")


def test_run_waits_for_the_first_base(layout: Layout) -> None:
    code = "import sys; from publisher.commands import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *root(layout), "--interval", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(4)]
        tiny_base(layout)
        while "is served" not in said[-1]:
            said.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert said[1].startswith("no base under")
    assert "Trying again in 1 s." in said[3]
    assert process.returncode == 0
