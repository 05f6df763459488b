"""How a long-running command ends: at SIGTERM or Ctrl-C, and at once even while it waits."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress


class Ending:
    """Set by SIGTERM and Ctrl-C from its making on, in the main thread; `told` is called then.

    Not a `threading.Event`: a handler runs between two steps of the thread that waits, and an event is waited for and
    set under one lock, so that a signal at the wrong moment would wait for itself for ever. A pipe takes no lock.
    """

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self._told, self._set = told, False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a signal comes; return whether one has."""
        if not self._set:
            select.select([self._reader], [], [], seconds)
        return self._set

    def _end(self, number: int, frame: object) -> None:
        self._set = True
        self._told()
        with suppress(BlockingIOError):  # full of signals: that wakes as well
            os.write(self._writer, b"!")
