"""How often a process looks for reference cycles."""

from __future__ import annotations

import gc

_OBJECTS = 100_000


def collect_seldom() -> None:
    """Let this process look for reference cycles seldom: records and rows are part of none, and there are millions."""
    gc.set_threshold(_OBJECTS)
