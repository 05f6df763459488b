"""A log as the arms of an evaluation see it: codes instead of ids, in the order of emission.

An arm never sees a click before it has answered for it: `Asked` is what it may know of a window that it has to score
(law 10: no figure changes when the future of the log is shuffled).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from contracts.arrays import Floats, Integers

NOT_A_CANDIDATE = -1


@dataclass(frozen=True)
class Clicks:
    """Consecutive clicks of one day.

    `first`: position of the first one in its day. `users`: int64 [n], codes of the log's users. `items`: int64 [n],
    positions among the candidates, `NOT_A_CANDIDATE` for others. `times`: int64 [n], ms, when each happened (at most
    when it was emitted); they need not be sorted.
    """

    first: int
    users: Integers
    items: Integers
    times: Integers

    def __len__(self) -> int:
        return len(self.users)

    def part(self, start: int, stop: int) -> Clicks:
        """Return clicks [start, stop), counted from the first of these."""
        span = slice(start, stop)
        return Clicks(self.first + start, self.users[span], self.items[span], self.times[span])


@dataclass(frozen=True)
class History:
    """The days of the base, in order: what every arm is built on. `users`, `candidates`: how many codes there are."""

    days: tuple[Clicks, ...]
    users: int
    candidates: int


@dataclass(frozen=True)
class Asked:
    """Requests of one window. `users`: int64 [n]; `at`: int64 [n], their positions in the day, for their context;
    `now`: the start of the window (ms), when the version that answers was published."""

    users: Integers
    at: Integers
    now: int


class Arm(Protocol):
    """One way to answer. Windows come in order; each is asked for (in parts), then learned.

    `scores` must be a function of what `learn` was given before the window and of `asked`, whatever its parts.
    """

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates], higher is better; equal scores count against the arm."""
        ...

    def learn(self, clicks: Clicks) -> None:
        """Take the clicks of the window that was just scored."""
        ...
