"""The command line: what is there works as its help says, what is not says so, and nothing heavy loads for a word."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import freshet
from contracts.errors import FreshetError, OperatorError
from freshet import COMMANDS, Command
from tests.support.source_tree import ROOT, functions, product_modules

HEAVY = ["torch", "faust", "onnxruntime", "pymilvus"]
ASK_FOR_HELP = """
import json, sys
import freshet
try:
    code = freshet.main([*sys.argv[1].split(), "--help"])
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in sys.argv[2].split() if name in sys.modules]]))
"""


def words(command: Command) -> str:
    return command.words


@pytest.fixture(scope="module")
def help_of() -> dict[str, tuple[str, int, list[str]]]:
    """For every command: what it answers to --help, its exit code, and what heavy packages were loaded for it."""
    answers = {}
    for command in COMMANDS:
        program = [sys.executable, "-c", ASK_FOR_HELP, command.words, " ".join(HEAVY)]
        ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        text, _, last = ended.stdout.strip().rpartition("\n")
        answers[command.words] = (text, *json.loads(last))
    return answers


def run(argv: Sequence[str]) -> tuple[int, str, str]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = freshet.main(argv)
    return code, out.getvalue(), error.getvalue()


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_a_command_of_the_table_is_a_function_of_its_module(command: Command) -> None:
    path = product_modules()[command.module]
    found = next(function for function in functions(path) if function.name == command.function)
    assert [argument.arg for argument in found.args.args] == ["argv"]


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_a_command_explains_itself(command: Command, help_of: dict[str, tuple[str, int, list[str]]]) -> None:
    text, code, _ = help_of[command.words]
    assert code == 0
    assert f"usage: freshet {command.words}" in text


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_nothing_heavy_is_imported_for_help(command: Command, help_of: dict[str, tuple[str, int, list[str]]]) -> None:
    _, _, loaded = help_of[command.words]
    assert loaded == []


@pytest.mark.parametrize("argv", [["bogus"], ["trainer", "bogus"], ["--bogus"], ["trainer-online"], ["Retrieve"]])
def test_an_unknown_command_is_named_in_one_sentence(argv: list[str]) -> None:
    code, out, error = run(argv)
    assert (code, out) == (2, "")
    assert f"no command `{' '.join(argv)}`" in error
    assert "freshet --help" in error


def listed(overview: str) -> list[str]:
    """The commands that an overview lists."""
    starts = [line.strip().split("  ")[0] for line in overview.splitlines()]
    return [command.words for command in COMMANDS if command.words in starts]


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_has_every_command(argv: list[str]) -> None:
    code, out, error = run(argv)
    assert (code, error) == (0, "")
    assert listed(out) == [command.words for command in COMMANDS]


@pytest.mark.parametrize(("argv", "code"), [(["publish"], 2), (["publish", "--help"], 0), (["streams", "-h"], 0)])
def test_half_a_command_lists_its_other_halves(argv: list[str], code: int) -> None:
    found, out, _ = run(argv)
    assert found == code
    assert listed(out) == [command.words for command in COMMANDS if command.words.startswith(argv[0] + " ")]


def test_no_command_hides_another() -> None:
    names = [command.words for command in COMMANDS]
    assert len(set(names)) == len(names)
    assert [(a, b) for a in names for b in names if b.startswith(a + " ")] == []


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A command line of one command, `toy go`, whose module is still to be written into this file."""
    monkeypatch.setattr(freshet, "COMMANDS", (Command("toy go", "toy_commands", "go", "do it"),))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_commands", raising=False)
    return tmp_path / "toy_commands.py"


def test_a_command_gets_the_words_after_its_own_and_gives_its_exit_code(only: Path) -> None:
    only.write_text("def go(argv):\n    print(argv)\n    return 7\n")
    assert run(["toy", "go", "--fast", "x"]) == (7, "['--fast', 'x']\n", "")


@pytest.mark.parametrize("text", ["import no_such_package\n", "def go(argv):\n    import no_such_package\n"])
def test_a_missing_package_is_named_with_what_to_install(only: Path, text: str) -> None:
    only.write_text(text)
    code, out, error = run(["toy", "go"])
    assert (code, out) == (2, "")
    assert "needs the package 'no_such_package'" in error
    assert "pip install" in error


@pytest.mark.parametrize(("kind", "code"), [(FreshetError, 1), (OperatorError, 2)])
def test_a_named_error_is_its_sentence_and_its_hint(only: Path, kind: type[FreshetError], code: int) -> None:
    name = kind.__name__
    only.write_text(
        f"from contracts.errors import {name}\ndef go(argv):\n    raise {name}('it broke', hint='Mend it.')\n"
    )
    assert run(["toy", "go"]) == (code, "", "freshet: it broke\n  Mend it.\n")


def test_an_interrupt_is_no_traceback(only: Path) -> None:
    only.write_text("def go(argv):\n    raise KeyboardInterrupt\n")
    code, out, error = run(["toy", "go"])
    assert (code, out) == (130, "")
    assert error.startswith("freshet: interrupted")


def test_a_reader_who_has_seen_enough_is_no_traceback() -> None:
    program = f"{sys.executable} freshet.py --help | head -n 1"
    ended = subprocess.run(["bash", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert ended.stdout.startswith("Freshet keeps")
