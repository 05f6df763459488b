"""What a base knows: the features of contexts, and the items that were clicked often enough for a vector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from contracts.events import Context
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from trainer.settings import FullRetrain


class FeatureCounts:
    """What the contexts of the days carry, sample by sample."""

    def __init__(self) -> None:
        self._values: dict[str, Counter[str]] = {}
        self._numbers: dict[str, Moments] = {}

    def add(self, contexts: Iterable[Context]) -> None:
        """Count the contexts of consecutive samples."""
        for context, times in shared(contexts):
            for name, value in context.discrete.items():
                self._values.setdefault(name, Counter())[value] += times
            for name, number in context.continuous.items():
                self._numbers.setdefault(name, Moments()).add(number, times)

    def spec(self, settings: FullRetrain) -> FeatureSpec:
        """Return the features worth an input: discrete ones with two frequent values, continuous ones that vary."""
        discrete = (_discrete(name, self._values[name], settings) for name in sorted(self._values))
        found = ((name, self._numbers[name]) for name in sorted(self._numbers))
        continuous = (ContinuousFeature(name, each.mean, each.deviation) for name, each in found if each.deviation > 0)
        return FeatureSpec(tuple(feature for feature in discrete if len(feature.values) > 1), tuple(continuous))


def shared(contexts: Iterable[Context]) -> Iterator[tuple[Context, int]]:
    """Yield the distinct objects among contexts, by first appearance, and how often each comes."""
    held = list(contexts)
    times = Counter(map(id, held))
    for identity, context in {id(context): context for context in held}.items():
        yield context, times[identity]


@dataclass
class Moments:
    """Mean and deviation of numbers that come one by one (Welford 1962, "Note on a method")."""

    count: int = 0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, number: float, times: int) -> None:
        """Take one more number, so many times."""
        self.count += times
        before = number - self.mean
        self.mean += before * times / self.count
        self._squares += times * before * (number - self.mean)

    @property
    def deviation(self) -> float:
        """The standard deviation of all."""
        return math.sqrt(self._squares / self.count) if self.count else 0.0


def choose_items(counts: Mapping[str, float], parents: Sequence[str], least: int) -> list[str]:
    """Return the items that get a vector: the parent's in their order, then new ones with enough clicks, sorted."""
    known = set(parents)
    return [*parents, *sorted(item for item, clicks in counts.items() if clicks >= least and item not in known)]


def _discrete(name: str, counts: Counter[str], settings: FullRetrain) -> DiscreteFeature:
    frequent = [value for value, count in counts.items() if count >= settings.min_feature_count]
    frequent.sort(key=lambda value: (-counts[value], value))
    return DiscreteFeature(name, tuple(frequent[: settings.max_feature_values]))
