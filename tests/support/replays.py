"""Logs in files, and `freshet streams replay` as a process of its own that folds them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from contracts import crash, events
from contracts.events import Event
from contracts.layout import Layout
from streams.join import Windows
from streams.log import RawRecord, partitioned
from streams.pipeline import Rotation
from streams.records import Topic
from streams.replay import Owner, Rules
from tests.support.logs import mixed_log
from tests.support.workers import PATIENCE_S, REPOSITORY, digests

PARTITIONS = 3
LIVE_CHUNK = 100
LIVE = Rules(Windows(), Rotation(bucket_ms=600_000))  # unlike a replay's


def mixed_events(seed: int, size: int = 300) -> list[Event | RawRecord]:
    """Return the log of `mixed_log` as a source gives it: what is no event as a raw record."""
    return [RawRecord(entry) if isinstance(entry, bytes) else entry for entry in mixed_log(seed, size)]


def write_log(path: Path, log: list[Event | RawRecord]) -> Path:
    """Write a log as lines of JSON; rubbish stands in them as it is."""
    values = (entry.value if isinstance(entry, RawRecord) else events.encode(entry) for entry in log)
    path.write_bytes(b"".join(value.replace(b"\n", b" ") + b"\n" for value in values))
    return path


def live_digests(log: list[Event | RawRecord], root: Path, partitions: int = PARTITIONS) -> dict[int, str]:
    """Return what live workers arrive at: every partition folded by itself."""
    topic = Topic("events", "live", partitions)
    records = list(partitioned([entry for entry in log if not _is_blank(entry)], partitions))
    for partition in range(partitions):
        values = [record.value for record in records if record.partition == partition]
        owner = Owner(Layout(root), topic, LIVE, [partition])
        for offset in range(0, len(values), LIVE_CHUNK):
            owner.feed(partition, offset, values[offset : offset + LIVE_CHUNK])
        owner.close()
    return digests(Layout(root), "events")


def _is_blank(entry: Event | RawRecord) -> bool:
    """Whether an adapter for lines passes it over."""
    return isinstance(entry, RawRecord) and not entry.value.strip()


class ReplayProcess:
    """A `freshet streams replay` process with its children; leaving the block kills them all."""

    def __init__(self, root: Path, *arguments: str, crash_at: str = "", **settings: str) -> None:
        variables = {f"FRESHET_STREAMS_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, str(REPOSITORY / "freshet.py"), "streams", "replay", "--root", str(root), *arguments]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **variables, **({crash.VARIABLE: crash_at} if crash_at else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.output = self.errors = ""

    def __enter__(self) -> ReplayProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def ended(self) -> int:
        """Wait for the end of the parent and of all children; return its exit code."""
        self.output, self.errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def replayed(root: Path, *arguments: str, **settings: str) -> str:
    """Run a replay to its good end; return what it printed."""
    with ReplayProcess(root, *arguments, **settings) as process:
        if process.ended() != 0:
            raise AssertionError(process.errors)
        return process.output
