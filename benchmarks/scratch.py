"""Scratch folders on the disk of this checkout, where fsync costs what it costs in production; never in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.results import REPOSITORY


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder under `var/` and delete it, with all that is in it, when the body ends."""
    parent = REPOSITORY / "var" / "benchmarks"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)
