"""Every way in which stored bytes come back torn or flipped, one byte at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def truncations(data: bytes) -> Iterator[bytes]:
    """Yield `data` cut off before each of its bytes."""
    for length in range(len(data)):
        yield data[:length]


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield `data` with one bit flipped at each byte, and where; the bits take turns, so each position is flipped."""
    for at in range(len(data)):
        yield at, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def all_flips(data: bytes) -> Iterator[bytes]:
    """Yield `data` with each of its bits flipped."""
    for at in range(len(data) * 8):
        yield data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def damage_in_place(path: Path) -> Iterator[None]:
    """Damage a file in turn by a flipped bit at each byte, by cutting it off before each byte, and by a byte too many.

    At the end it is whole again.
    """
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at, flipped in flips(whole):
            os.pwrite(file.fileno(), flipped[at : at + 1], at)
            yield
            os.pwrite(file.fileno(), whole[at : at + 1], at)
        for length in reversed(range(len(whole))):
            file.truncate(length)
            yield
        os.pwrite(file.fileno(), whole + b"\0", 0)
        yield
        file.truncate(len(whole))
