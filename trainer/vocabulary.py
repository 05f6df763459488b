"""What a base knows: the features of contexts, and the items that were clicked often enough for a vector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from contracts.events import Context
from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from trainer.settings import FullRetrain


def learn_features(contexts: Iterable[Context], settings: FullRetrain) -> FeatureSpec:
    """Return the features worth an input: discrete ones with two frequent values, continuous ones that vary."""
    values: dict[str, Counter[str]] = {}
    numbers: dict[str, list[float]] = {}
    for context in contexts:
        for name, value in context.discrete.items():
            values.setdefault(name, Counter())[value] += 1
        for name, number in context.continuous.items():
            numbers.setdefault(name, []).append(number)
    discrete = (_discrete(name, values[name], settings) for name in sorted(values))
    continuous = (_continuous(name, numbers[name]) for name in sorted(numbers))
    return FeatureSpec(
        tuple(feature for feature in discrete if len(feature.values) > 1),
        tuple(feature for feature in continuous if feature.deviation > 0),
    )


def count_items(days: Iterable[Sequence[str]], before: Mapping[str, float]) -> dict[str, float]:
    """Return the training clicks of each item over the lineage: those of the parent and of the new days."""
    counts = dict(before)
    for items in days:
        for item, clicks in Counter(items).items():
            counts[item] = counts.get(item, 0.0) + clicks
    return counts


def choose_items(counts: Mapping[str, float], parents: Sequence[str], least: int) -> list[str]:
    """Return the items that get a vector: the parent's in their order, then new ones with enough clicks, sorted."""
    known = set(parents)
    return [*parents, *sorted(item for item, clicks in counts.items() if clicks >= least and item not in known)]


def _discrete(name: str, counts: Counter[str], settings: FullRetrain) -> DiscreteFeature:
    frequent = [value for value, count in counts.items() if count >= settings.min_feature_count]
    frequent.sort(key=lambda value: (-counts[value], value))
    return DiscreteFeature(name, tuple(frequent[: settings.max_feature_values]))


def _continuous(name: str, numbers: list[float]) -> ContinuousFeature:
    mean = math.fsum(numbers) / len(numbers)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
    return ContinuousFeature(name, mean, deviation)
