"""Entries put in the order of their times, however many: an external merge sort.

What has come together is sorted in memory, up to `run_bytes`, and then waits as a run in a temporary file (in `TMPDIR`)
that has no name and is gone with its process. Memory is bounded by one run and a block of each run before it.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from operator import itemgetter
from struct import Struct
from types import TracebackType
from typing import IO, Self

from contracts.errors import FreshetError

RUN_BYTES = 1 << 26

_FRAME = Struct("<qI")
_READ_BYTES = 1 << 18
_OBJECT_BYTES = 128  # what Python adds to an entry in memory

Entry = tuple[int, bytes]
_time = itemgetter(0)


class TimeOrder:
    """Use as a context manager: `add` all entries, then iterate. Entries of one time stay in the order of adding."""

    def __init__(self, run_bytes: int = RUN_BYTES) -> None:
        self._run_bytes = run_bytes
        self._run: list[Entry] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._ends = [0]  # of the runs in the file

    def add(self, time: int, data: bytes) -> None:
        """Take an entry; `time` fits into 64 bits. Raises `FreshetError` where the temporary file cannot be written."""
        self._run.append((time, data))
        self._size += len(data) + _OBJECT_BYTES
        if self._size >= self._run_bytes:
            self._spill()

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries, the earliest first."""
        self._run.sort(key=_time)
        runs = (self._read(start, end) for start, end in zip(self._ends, self._ends[1:], strict=False))
        yield from heapq.merge(*runs, self._run, key=_time)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        self._run.sort(key=_time)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed on exit
            for time, data in self._run:
                self._file.write(_FRAME.pack(time, len(data)))
                self._file.write(data)
            self._file.flush()
            self._ends.append(self._file.tell())
        except OSError as error:
            raise FreshetError(
                f"no room to sort the log: {tempfile.gettempdir()}: {error.strerror or error}",
                hint="It takes about as much room as the log. Name a folder of another disk in TMPDIR.",
            ) from None
        self._run, self._size = [], 0

    def _read(self, at: int, end: int) -> Iterator[Entry]:
        """Yield the entries between two places of the file, read by the block."""
        if self._file is None:
            return
        file, rest = self._file.fileno(), b""
        while at < end:
            block = rest + os.pread(file, min(_READ_BYTES, end - at), at)
            at += len(block) - len(rest)
            place = 0
            while place + _FRAME.size <= len(block):
                time, length = _FRAME.unpack_from(block, place)
                start = place + _FRAME.size
                if start + length > len(block):
                    break
                yield time, block[start : start + length]
                place = start + length
            rest = block[place:]
