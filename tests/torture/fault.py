"""What a fault is: a named frozen value whose `strike` waits for its instant, acts, and proves that it acted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from tests.torture.round import Round, Steps


@dataclass(frozen=True)
class Instant:
    """When a fault strikes: after so many records were sent, and so many shards were committed."""

    records: int = 0
    shards: int = 0

    def __call__(self, game: Round) -> bool:
        """Tell whether the round has come so far."""
        return len(game.feed.sent) >= self.records and sum(game.head_numbers()) >= self.shards


@dataclass(frozen=True)
class Fault(ABC):
    """A fault of a plan. `seed` decides what is not its own field: which worker, which byte."""

    name: ClassVar[str]
    refuses: ClassVar[bool] = False  # the round ends with a refusal by name
    at: Instant
    seed: int

    @property
    def dice(self) -> Random:
        """Dice that fall the same way each time this fault is played."""
        return Random(f"{self.name} {self.seed}")

    @abstractmethod
    def strike(self, game: Round) -> Steps:
        """Act on a game, step by step; what stands before the first `yield` happens before any worker runs.

        Coming to its end means that the fault has really struck, and that it has noted what it did.
        """
