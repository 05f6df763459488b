"""`freshet trainer explain` as a person calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from contracts.bases import OpenBase
from contracts.errors import FoldDiffers, MissingInput
from contracts.layout import Layout
from tests.support.bases import serve
from tests.support.shards import click
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import fold, train
from tests.unit.test_trainer_explain import append, flip_a_bit, trained
from trainer.commands_explain import explain, parse_explain
from trainer.explanation import Explanation

FRESHET = Path(__file__).parents[2] / "freshet.py"
TODAY, HALF_HOUR = MIDNIGHT + DAY_MS, 1_800_000


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> OpenBase:
    layout = Layout(tmp_path_factory.mktemp("worked"))
    write_tastes(layout, Tastes())
    base = train(layout)
    fold(layout, base)
    return base


def freshet(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FRESHET), "trainer", "explain", *words]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False
    )


def said(root: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert explain(["--root", str(root), *words]) == 0
    return capsys.readouterr().out


def test_a_line_says_who_one_each_click_and_the_proof(worked: OpenBase, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(worked.layout.root, "--user", "u7.0", capsys=capsys)
    lines = text.splitlines()
    assert lines[0] == "user      u7.0, partition 0 of events"
    assert f"base      {worked.manifest.base_id}, cut at 2025-01-07 00:00:00: " in lines[1]
    assert "now       delta 48, 2025-01-08 00:00:00: " in lines[2]
    today = [s for s in Tastes().samples() if s.user_id == "u7.0" and s.event_time >= TODAY]
    assert sum(line.startswith("01-07 ") for line in lines) == len(today)
    assert "equal to deltas 1 to 48, bit for bit" in text
    assert "top 10 as served then" in text


def test_the_json_says_all_of_it_to_programs(
    worked: OpenBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    text = said(worked.layout.root, "--user", "u7.0", "--json", str(file), "-k", "3", capsys=capsys)
    found = msgspec.json.decode(file.read_bytes(), type=Explanation)
    assert (found.user_id, found.answer.k, len(found.answer.items), found.differs) == ("u7.0", 3, 3, "")
    assert text.startswith("user ")
    piped = said(worked.layout.root, "--user", "u7.0", "--json", "-", "-k", "3", capsys=capsys)
    assert msgspec.json.decode(piped, type=Explanation) == found


def test_until_explains_as_of_then(worked: OpenBase, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(worked.layout.root, "--user", "u7.0", "--until", str(TODAY + 5 * HALF_HOUR + 7), capsys=capsys)
    assert "now       delta 5, 2025-01-07 02:30:00: " in text


def test_a_user_without_a_click_is_told_so(worked: OpenBase, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(worked.layout.root, "--user", "u5.0", capsys=capsys)
    assert "clicks    0 since the cut" in text
    assert "the row is that of the base alone" in text


def test_own_rows_that_do_not_move_are_told_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = trained(tmp_path, own_step=0.0)
    append(base, [click("u1.0", base.items.ids[3], TODAY + 1000)])
    fold(base.layout, base)
    assert "own_step is 0" in said(tmp_path, "--user", "u1.0", capsys=capsys)


def test_what_a_person_names_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = trained(tmp_path)
    append(base, [click("[bold]u", "[red]breaking[/]", TODAY + 1000)])
    fold(base.layout, base)
    text = said(tmp_path, "--user", "[bold]u", capsys=capsys)
    assert "user      [bold]u, " in text
    assert "[red]breaking[/]" in text


def test_a_broken_law_is_an_error_by_name_after_everything_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = trained(tmp_path)
    append(
        base, [click("u1.0", base.items.ids[3], TODAY + n * HALF_HOUR + 1000) for n in range(2)], TODAY + 2 * HALF_HOUR
    )
    fold(base.layout, base)
    flip_a_bit(base, "u1.0")
    with pytest.raises(FoldDiffers, match="delta 2: own row, in 1 of 16 numbers") as broken:
        explain(["--root", str(tmp_path), "--user", "u1.0"])
    assert broken.value.exit_code == 1
    assert base.manifest.cpu_family in broken.value.hint
    assert "ERROR     samples" in capsys.readouterr().out


def test_an_unknown_user_is_two_lines_and_exit_code_2(worked: OpenBase) -> None:
    refused = freshet("--root", str(worked.layout.root), "--user", "nobody")
    assert refused.returncode == 2
    assert "nothing is known of user 'nobody'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_topic_without_a_base_is_told_which_there_are(worked: OpenBase) -> None:
    with pytest.raises(MissingInput, match="no base of topic 'other'") as refused:
        explain(["--root", str(worked.layout.root), "--user", "u7.0", "--topic", "other"])
    assert refused.value.hint.endswith("There are bases of other topics: events.")


def test_that_another_base_is_served_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes())
    first = train(layout)
    serve(layout, first)
    train(layout, DAYS[1])
    text = said(tmp_path, "--user", "u7.0", capsys=capsys)
    assert f"served now is base {first.manifest.base_id}, not this one" in text


def test_a_folder_that_is_not_there_is_refused_before_anything_is_folded() -> None:
    with pytest.raises(MissingInput, match=r"--json /no/where/x.json is a folder, or in none"):
        explain(["--root", "/nowhere", "--user", "u", "--json", "/no/where/x.json"])


@pytest.mark.parametrize(
    "words", [[], ["--user", "u", "-k", "0"], ["--user", "u", "--until", "noon"], ["--user", "\udcff"]]
)
def test_arguments_that_make_no_sense_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse_explain(words)
    assert refused.value.code == 2
    assert "freshet trainer explain: error" in capsys.readouterr().err


def test_help_imports_no_torch() -> None:
    code = (
        "import sys, trainer.commands_explain as c\n"
        "try:\n    c.explain(['--help'])\nexcept SystemExit:\n    assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=FRESHET.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "freshet trainer explain" in ran.stdout
