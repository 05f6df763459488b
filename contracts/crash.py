"""Named crash points: before and after each step of a durable sequence, chosen by an environment variable.

`FRESHET_CRASH_AT=shards.commit.2` kills the process (SIGKILL, nothing is cleaned up) the first time that the point is
reached, `shards.commit.2@5` the fifth time. `stop:shards.commit.2@5` stops it there instead (SIGSTOP), until somebody
sends SIGCONT: a process that sleeps in the middle of a sequence. Unset, a point costs one call of an empty function.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "FRESHET_CRASH_AT"
STOP = "stop:"


def _never(point: str) -> None:
    """Nothing is to crash."""


def _crash_at(chosen: str) -> Callable[[str], None]:
    name, _, times = chosen.removeprefix(STOP).partition("@")
    blow = signal.SIGSTOP if chosen.startswith(STOP) else signal.SIGKILL
    left = int(times or 1)

    def reach(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), blow)

    return reach


reach: Callable[[str], None] = _crash_at(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _never
