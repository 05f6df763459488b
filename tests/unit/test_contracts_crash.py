"""A process that is told to stop at a crash point sleeps there, and goes on when it is woken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from contracts.crash import VARIABLE

REPOSITORY = Path(__file__).parents[2]
PROGRAM = "from contracts.crash import reach\nfor n in range(5): reach('a.b.1'); reach('a.b.2'); print(n, flush=True)"


def test_a_process_that_is_told_to_stop_sleeps_at_the_point_until_it_is_woken() -> None:
    environment = {**os.environ, VARIABLE: "stop:a.b.2@3"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        child.send_signal(signal.SIGCONT)
        assert child.stdout.read() == "2\n3\n4\n"
    assert child.returncode == 0
