"""Contexts as columns of numbers, before anybody knows which of their features are worth an input.

A discrete value gets a code in the order of appearance, 0 standing for none; a number that is missing is NaN. When the
days are through, `trainer.vocabulary` chooses the features and `trainer.translation` turns the columns into theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from contracts.arrays import Doubles, Floats, Integers
from contracts.events import Context
from trainer.text_codes import TextCodes, grown

MISSING = None


class ContextColumns:
    """Codes of all values seen: `discrete` by feature, in the order of the columns; `continuous`: columns by name."""

    def __init__(self) -> None:
        self.discrete: dict[str, TextCodes] = {}
        self.continuous: dict[str, int] = {}

    def of(self, contexts: list[Context]) -> tuple[Integers, Floats]:
        """Return codes, int64 [n, discrete features so far], and numbers, float32 [n, continuous ones so far].

        A context that several samples share, as decoded ones do, is looked at once.
        """
        distinct = {id(context): context for context in contexts}
        places = {identity: place for place, identity in enumerate(distinct)}
        at = np.fromiter(map(places.__getitem__, map(id, contexts)), np.int64, len(contexts))
        codes, numbers = self._of_distinct(list(distinct.values()))
        return codes[at], numbers[at]

    def _of_distinct(self, contexts: list[Context]) -> tuple[Integers, Floats]:
        for name in dict.fromkeys(name for context in contexts for name in context.discrete):
            if name not in self.discrete:
                self.discrete[name] = TextCodes([MISSING])
        for name in dict.fromkeys(name for context in contexts for name in context.continuous):
            self.continuous.setdefault(name, len(self.continuous))
        codes = np.zeros((len(contexts), len(self.discrete)), np.int64)
        for column, (name, known) in enumerate(self.discrete.items()):
            codes[:, column] = known.of([context.discrete.get(name) for context in contexts])
        numbers = np.zeros((len(contexts), len(self.continuous)), np.float32)
        for name, column in self.continuous.items():
            numbers[:, column] = [context.continuous.get(name, np.nan) for context in contexts]
        return codes, numbers


@dataclass
class Moments:
    """Mean and deviation of numbers that come in pieces; how they were cut leaves no trace, not in the last bit.

    Sums go number by number, of distances from the first one: far from zero nothing cancels.
    """

    count: int = 0
    _first: float = 0.0
    _sum: float = 0.0
    _squares: float = 0.0

    def add(self, numbers: Doubles) -> None:
        """Take more numbers, float64 [n]."""
        if not len(numbers):
            return
        self._first = self._first if self.count else float(numbers[0])
        self.count += len(numbers)
        apart = numbers - self._first
        self._sum = _summed(self._sum, apart)
        self._squares = _summed(self._squares, apart * apart)

    @property
    def mean(self) -> float:
        """The mean of all."""
        return self._first + self._sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of all."""
        if not self.count:
            return 0.0
        return float(np.sqrt(max(self._squares / self.count - (self._sum / self.count) ** 2, 0.0)))


@dataclass
class FeatureCounts:
    """What contexts carry: `values` int64 by feature, how often each code came; `numbers` by feature."""

    values: dict[str, Integers] = field(default_factory=dict)
    numbers: dict[str, Moments] = field(default_factory=dict)

    def add(self, columns: ContextColumns, codes: Integers, numbers: Floats) -> None:
        """Count more samples, as `columns` has coded them."""
        for column, name in enumerate(columns.discrete):
            counts = np.bincount(codes[:, column])
            so_far = grown(self.values.get(name, np.zeros(0, np.int64)), len(counts))
            so_far[: len(counts)] += counts
            self.values[name] = so_far
        for name, column in columns.continuous.items():
            found = numbers[:, column]
            self.numbers.setdefault(name, Moments()).add(found[~np.isnan(found)].astype(np.float64))

    def carried(self, name: str) -> int:
        """Return how many samples carry a discrete feature."""
        return int(self.values[name][1:].sum())


def _summed(start: float, numbers: Doubles) -> float:
    """Return the sum from `start` on, from left to right; `np.sum` would add in another order for each length."""
    return float(np.add.accumulate(np.concatenate([[start], numbers]))[-1])
