"""What a peer's process has done: counted by itself, told to us in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from contracts import durable


class Taken(msgspec.Struct, frozen=True):
    """What a peer did: `records` after the first one, in `seconds`."""

    records: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records/s."""
        return self.records / self.seconds


class Stopwatch:
    """Runs from the first record to number `records`, then writes the file `result` and ends the process.

    An orderly stop of a peer takes seconds and is not measured.
    """

    def __init__(self, records: int, result: Path) -> None:
        self._records, self._result = records, result
        self._seen, self._started = 0, 0.0

    def saw_one(self) -> None:
        """Call it after each record."""
        self._seen += 1
        if self._seen == 1:
            self._started = time.perf_counter()
        elif self._seen == self._records:
            taken = Taken(self._seen - 1, time.perf_counter() - self._started)
            durable.replace_file(self._result, msgspec.json.encode(taken))
            os._exit(0)
