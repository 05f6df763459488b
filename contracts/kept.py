"""What was made lately of short bytes, kept: a log has few contexts, and they stand in shard after shard."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

Made = TypeVar("Made")

_KEPT, _KEPT_BYTES = 4096, 512


def kept(make: Callable[[bytes], Made]) -> Callable[[bytes], Made]:
    """Wrap a pure function: for the same short bytes it returns the same object again, which nobody changes.

    What it keeps is bounded, whatever it is asked for. What it raises, it raises each time.
    """
    recent = lru_cache(_KEPT)(make)

    @wraps(make)
    def keeping(data: bytes) -> Made:
        return recent(data) if len(data) <= _KEPT_BYTES else make(data)

    return keeping
