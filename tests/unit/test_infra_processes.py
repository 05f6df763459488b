"""A server process starts or says why not, survives the terminal's Ctrl-C, and dies with its starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.processes import Program, ServerFailed, ServerProcess, wait_until

STARTER = """
import sys
from pathlib import Path
from infra.processes import Program, ServerProcess
folder = Path(sys.argv[1])
server = ServerProcess(Program("A sleeper", ["sleep", "600"], folder / "log", folder))
server.start(lambda: True, 1)
print(server.pid, flush=True)
sys.stdin.read()
"""


def program(folder: Path, *command: str) -> Program:
    return Program("The server", command, folder / "log", folder)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_ends_while_it_starts_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = ServerProcess(program(tmp_path, "sh", "-c", "echo the port is taken; exit 1"))

    with pytest.raises(ServerFailed, match=r"The server ended while it started; its log ends: the port is taken"):
        server.start(lambda: False, 30)


def test_a_program_that_does_not_answer_in_time_is_ended(tmp_path: Path) -> None:
    server = ServerProcess(program(tmp_path, "sleep", "600"))

    with pytest.raises(ServerFailed, match="did not answer within 0 s"):
        server.start(lambda: False, 0)

    assert not server.running


def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    server = ServerProcess(program(tmp_path, "sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 1; done"))
    server.start(ready.exists, 30)

    server.stop(0.2)

    assert not server.running


def test_a_server_is_out_of_reach_of_the_terminals_interrupt(tmp_path: Path) -> None:
    server = ServerProcess(program(tmp_path, "sleep", "600"))
    server.start(lambda: True, 1)

    session = os.getsid(server.pid)
    server.kill()

    assert session != os.getsid(0)


def test_a_server_dies_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    server = int(starter.stdout.readline())
    assert alive(server)

    starter.send_signal(signal.SIGKILL)
    starter.communicate()

    wait_until(lambda: not alive(server), lambda: True, 10)
