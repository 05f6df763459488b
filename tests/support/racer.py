"""A program that races others for every number of a chain: `python -m tests.support.racer FOLDER NAME NUMBERS`.

It says `ready`, starts at a line on standard input, and prints which numbers it won, as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from contracts.chain import Chain
from contracts.errors import ChainTaken


class Claim(msgspec.Struct, frozen=True):
    """Who made the manifest."""

    who: str


def chain_in(folder: Path) -> Chain[Claim]:
    """The chain that is raced for."""
    return Chain(folder / "chain", "test.claim/1", Claim)


def main(folder: Path, who: str, numbers: int) -> list[int]:
    """Race, and return the numbers won."""
    chain, won, before = chain_in(folder), list[int](), None
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1, numbers + 1):
        entry = chain.prepare(before, Claim(who), {"txt": who.encode()})
        try:
            chain.create(entry)
            won.append(number)
        except ChainTaken:
            pass
        before = chain.read(number)
    return won


if __name__ == "__main__":
    print(msgspec.json.encode(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))).decode())
