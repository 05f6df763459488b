"""The smallest stage: it sums numbers, commits after each, and is killed by tests. A program of its own, too.

`python -m tests.support.commits FOLDER UNTIL` goes on from whatever lies in FOLDER until UNTIL numbers are committed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from contracts import durable
from contracts.chain import Chain
from contracts.commit import Committer, recover

NAME = "x"
SCHEMA = "test.total/1"
DATA = "txt"


class Total(msgspec.Struct, frozen=True):
    """The sum of the squares of 1 .. the manifest's number."""

    total: int


class Adder:
    """Owns the chain in `folder`; `warm` says whether its state DB was at the head when it was opened."""

    def __init__(self, folder: Path, state: str = "state") -> None:
        self.committer: Committer[Total]
        self.folder = folder
        self.committer, self.warm = recover(NAME, chain_in(folder), folder / state)
        if not self.warm:
            self._rebuild()

    def add(self) -> None:
        """Add the next number and commit."""
        number = self.number + 1
        total = self.total + number**2
        changes = {b"total": str(total).encode(), b"term/%d" % number: b"%d" % number**2}
        data = {DATA: b"%d squared" % number}
        self.committer.commit(Total(total), data, [changes], lambda: self._tell(number))

    @property
    def number(self) -> int:
        """How many numbers are committed."""
        return self.committer.head.number if self.committer.head else 0

    @property
    def total(self) -> int:
        """The sum, from the state DB alone."""
        return int(self.committer.state.get(b"total") or 0)

    @property
    def state(self) -> dict[bytes, bytes]:
        """What the state DB holds, but for what the commit keeps there."""
        return {key: value for key, value in self.committer.state.scan(b"") if not key.startswith(b"!")}

    def close(self) -> None:
        """Release the state DB."""
        self.committer.state.close()

    def _rebuild(self) -> None:
        """Fold the chain into the empty state DB."""
        for entry in self.committer.chain.entries():
            term = {b"term/%d" % entry.number: b"%d" % entry.number**2}
            self.committer.state.write({b"total": str(entry.body.total).encode(), **term})

    def _tell(self, number: int) -> None:
        durable.replace_file(self.folder / "hint", str(number).encode())


@contextmanager
def adder(folder: Path, state: str = "state") -> Iterator[Adder]:
    """An adder that is closed at the end."""
    opened = Adder(folder, state)
    try:
        yield opened
    finally:
        opened.close()


def chain_in(folder: Path) -> Chain[Total]:
    """The chain of the adder in `folder`."""
    return Chain(folder / "chain", SCHEMA, Total)


def main(folder: Path, until: int) -> None:
    """Go on until so many numbers are committed."""
    with adder(folder) as opened:
        while opened.number < until:
            opened.add()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
