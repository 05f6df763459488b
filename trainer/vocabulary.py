"""What a base knows: the features of contexts, and the items that were clicked often enough for a vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.features import ContinuousFeature, DiscreteFeature, FeatureSpec
from trainer.context_columns import ContextColumns, FeatureCounts
from trainer.settings import FullRetrain


def choose_features(columns: ContextColumns, counts: FeatureCounts, settings: FullRetrain) -> FeatureSpec:
    """Return the features worth an input: discrete ones with two frequent values, continuous ones that vary."""
    discrete = (_discrete(name, columns, counts, settings) for name in sorted(counts.values))
    found = ((name, counts.numbers[name]) for name in sorted(counts.numbers))
    continuous = (ContinuousFeature(name, each.mean, each.deviation) for name, each in found if each.deviation > 0)
    return FeatureSpec(tuple(feature for feature in discrete if len(feature.values) > 1), tuple(continuous))


def choose_items(counts: Mapping[str, float], parents: Sequence[str], least: int) -> list[str]:
    """Return the items that get a vector: the parent's in their order, then new ones with enough clicks, sorted."""
    known = set(parents)
    return [*parents, *sorted(item for item, clicks in counts.items() if clicks >= least and item not in known)]


def _discrete(name: str, columns: ContextColumns, counts: FeatureCounts, settings: FullRetrain) -> DiscreteFeature:
    times = dict(zip(columns.discrete[name].texts(), counts.values[name][1:].tolist(), strict=False))
    frequent = [value for value, count in times.items() if count >= settings.min_feature_count]
    frequent.sort(key=lambda value: (-times[value], value))
    return DiscreteFeature(name, tuple(frequent[: settings.max_feature_values]))
