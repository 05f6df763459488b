"""Server processes that outlive a Ctrl-C at the terminal and never outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import FreshetError

POLL_S = 0.1
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerFailed(FreshetError):
    """A server process ended while it started, or did not answer in time."""


@dataclass(frozen=True)
class Program:
    """What to run: `name` as people call it, the command, where its output goes, where and with what it runs."""

    name: str
    command: Sequence[str]
    log: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)


class ServerProcess:
    """One server process in a session of its own, so that the terminal's Ctrl-C reaches its users and not it.

    On Linux the kernel kills it when the *thread* that called `start` ends, whatever ended it: call `start` from a
    thread that lives as long as the server is needed. Elsewhere only `stop` and `kill` end it.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the id of the running process; raises ServerFailed when none was started."""
        if self._process is None:
            raise ServerFailed(f"{self._program.name} was not started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended (negative: the signal); None while it runs or before it was started."""
        return self._process.poll() if self._process else None

    def start(self, answers: Callable[[], bool], patience_s: float) -> None:
        """Start the process and return once `answers()`; raises ServerFailed, with the log's end, if it never does."""
        if self.running:
            return
        program = self._program
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.folder,
                env={**os.environ, **program.environment},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        try:
            wait_until(answers, self._still_running, patience_s)
        except TimeoutError as error:
            self.kill()
            raise ServerFailed(
                f"{program.name} {error}; its log ends: {log_end(program.log)}", hint=f"Read {program.log}."
            ) from error
        except BaseException:
            self.kill()
            raise

    def stop(self, patience_s: float) -> None:
        """Ask the process to end, and kill it if it has not after `patience_s`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL; when it returns, the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _still_running(self) -> bool:
        return self.running


def wait_until(answers: Callable[[], bool], alive: Callable[[], bool], patience_s: float) -> None:
    """Return once `answers()`; raises TimeoutError, its text a verb phrase, when `alive()` fails or time is over."""
    deadline = time.monotonic() + patience_s
    while not answers():
        if not alive():
            raise TimeoutError("ended while it started")
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not answer within {patience_s:.0f} s")
        time.sleep(POLL_S)


def log_end(log: Path, characters: int = 600) -> str:
    """Return the last characters of a log as one line."""
    return " | ".join(log.read_text(encoding="utf-8", errors="replace")[-characters:].splitlines())


def _die_with_parent() -> None:
    """Run in the child between fork and exec: have the kernel kill it when its parent ends."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
