"""The command line: one table of commands; a stage is imported only when one of its commands is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

from contracts.errors import FreshetError, OperatorError


class Command(NamedTuple):
    """Where a command lives."""

    words: str
    module: str
    function: str
    help: str


COMMANDS = (
    Command("demo", "examples.demo", "demo", "a click's whole way on one machine, with a page of results"),
    Command("produce", "streams.commands_produce", "produce", "fill a topic from a click log"),
    Command(
        "status", "publisher.commands_versions", "status", "what is served, how fresh it is, from which log positions"
    ),
    Command("doctor", "infra.doctor.commands", "doctor", "say what is wrong with an installation, and what to do"),
    Command("streams worker", "streams.commands", "worker", "turn the events of a topic into committed shards"),
    Command(
        "streams replay", "streams.commands_replay", "replay", "fold a click log, or a part of a topic, into shards"
    ),
    Command("streams inspect", "streams.commands_inspect", "inspect", "look at a topic's shards; --verify proves them"),
    Command("streams attach", "streams.commands_attach", "attach", "feed the events' topic from your own topics"),
    Command("streams admit-lost", "streams.commands_admit", "admit_lost", "go on behind records lost for good"),
    Command("streams check-source", "streams.commands_attach", "check_source", "what would come of your own topics"),
    Command("trainer retrain", "trainer.commands", "retrain", "full retrain: shards of days become a base"),
    Command("trainer online", "trainer.commands_online", "online", "online update: shards become deltas on a base"),
    Command("trainer rebase", "trainer.commands_night", "rebase", "move the online update onto a new base"),
    Command("trainer nightly", "trainer.commands_night", "nightly", "the night in one command"),
    Command("trainer explain", "trainer.commands_explain", "explain", "which clicks made a user's row and answer"),
    Command("trainer import", "trainer.commands_import", "import_model", "bring your own two-tower model"),
    Command("publish once", "publisher.commands", "once", "publish what is new as the next served version"),
    Command("publish run", "publisher.commands", "run", "publish every interval until stopped"),
    Command("publish rollback", "publisher.commands", "rollback", "serve an earlier version again"),
    Command("publish history", "publisher.commands_versions", "history", "the served versions, newest first"),
    Command("publish diff", "publisher.commands_versions", "diff", "which rows two versions differ in, and how far"),
    Command("publish retire", "publisher.commands_versions", "retire", "delete what no rollback may need"),
    Command("serve", "serving.commands_serve", "serve", "answer over HTTP what is served now"),
    Command("retrieve", "serving.commands", "retrieve", "the top k items for a user, as served now"),
    Command("evaluate", "trainer.evaluation.commands", "evaluate", "judge the online update on any log"),
    Command("experiment", "trainer.experiments.commands", "experiment", "test a claim about training and publishing"),
)

EXTRAS = {"streams": "streams", "trainer": "trainer", "publisher": "publisher", "serving": "serving"}
OWN_EXTRAS = {("streams", "pyarrow"): "parquet"}  # what an extra leaves to one of its own


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 the machine failed, 2 a person has to change something."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except FreshetError as error:
        print(f"freshet: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("freshet: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"freshet {metadata.version('freshet')}")
        return 0
    command = next((c for c in COMMANDS if c.words.split() == words[: len(c.words.split())]), None)
    if command is None:
        return _unknown(words)
    return _call(command, words[len(command.words.split()) :])


def _call(command: Command, argv: Sequence[str]) -> int:
    try:
        function = getattr(importlib.import_module(command.module), command.function)
        return int(function(argv))
    except ModuleNotFoundError as error:
        judging = command.words in {"evaluate", "experiment"}
        extra = "evaluation" if judging else EXTRAS.get(command.module.partition(".")[0], "demo")
        extra = OWN_EXTRAS.get((extra, (error.name or "").partition(".")[0]), extra)
        raise OperatorError(
            f"`freshet {command.words}` needs the package {error.name!r}, which is not installed",
            hint=f"Install it with: pip install 'freshet[{extra}]', or `make setup` in a checkout.",
        ) from None


def _unknown(words: list[str]) -> int:
    near = [c for c in COMMANDS if c.words.split()[0] == words[0]]
    if near and (len(words) == 1 or words[1] in {"-h", "--help"}):
        print(overview(near))
        return 0 if len(words) > 1 else 2
    print(f"freshet: no command `{' '.join(words[:2])}`\n  `freshet --help` lists them all.", file=sys.stderr)
    return 2


def overview(commands: Sequence[Command] = COMMANDS) -> str:
    """Return the table of commands as text."""
    lines = [
        "Freshet keeps a two-tower retrieval model fresh between nightly retrains.",
        "",
        "usage: freshet COMMAND ...",
        "",
    ]
    lines += [f"  {command.words:<22}{command.help}" for command in commands]
    lines += ["", "`freshet COMMAND --help` explains a command. `make demo` shows everything on one machine."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
