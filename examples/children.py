"""The stage processes that the walk starts, watches and, when they die, starts again: what a supervisor does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from contracts.errors import FreshetError, OperatorError
from infra.processes import Program, ServerProcess

MAX_DEATHS = 5
STOP_PATIENCE_S = 20.0

Say = Callable[[str], None]


def freshet_command(*words: str) -> list[str]:
    """Return the command line of a freshet command, run by this interpreter."""
    return [sys.executable, "-m", "freshet", *words]


class Child:
    """One stage as a process of its own, with a log file. It dies with this process, whatever ends that."""

    def __init__(self, name: str, words: list[str], log: Path, say: Say, **variables: str) -> None:
        self._name, self._log, self._say = name, log, say
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = ServerProcess(Program(name, freshet_command(*words), log, Path.cwd(), variables))
        self._deaths = 0
        self._process.start(lambda: True, patience_s=5)

    def check(self) -> None:
        """Start it again if it died; raise when it ended on purpose or dies again and again."""
        code = self._process.exit_code
        if code is None:
            return
        self._deaths += 1
        if code == OperatorError.exit_code or self._deaths > MAX_DEATHS:
            end = "\n  ".join(self._log.read_text(errors="replace").splitlines()[-6:])
            raise FreshetError(f"the {self._name} ended with exit code {code}:\n  {end}", hint=f"Its log: {self._log}")
        self._say(f"The {self._name} died (exit code {code}); it is started again and goes on from its chain.")
        self._process.start(lambda: True, patience_s=5)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        self._process.stop(STOP_PATIENCE_S)


def run_command(*words: str) -> str:
    """Run a freshet command in the foreground, its progress on this terminal; print and return what it prints.

    Raises `FreshetError` when it fails.
    """
    done = subprocess.run(freshet_command(*words), stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="")
    if done.returncode < 0 or done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise FreshetError(f"`freshet {' '.join(words[:2])}` failed", hint="Its own message stands above.")
    return done.stdout
