"""Which inputs the towers of a foreign model have: the `FeatureSpec` of contexts and of items' content, as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contracts.errors import UsageError
from contracts.features import FeatureSpec

HINT = "docs/import.md shows one: what each code of `codes` means, and mean and deviation of each of `numbers`."
MOST_VALUES = 1 << 20


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds: features of the context, and of the content of items."""

    context: FeatureSpec = FeatureSpec()
    content: FeatureSpec = FeatureSpec()


def read_features(path: Path, data: bytes) -> Features:
    """Return the features in a file's bytes. Raises `UsageError` naming what is wrong."""
    try:
        found = msgspec.json.decode(data, type=Features)
    except ValueError as error:  # MsgspecError, UnicodeDecodeError
        raise UsageError(f"{path} describes no features: {error}", hint=HINT) from None
    for wrong in (*_faults(found.context), *_faults(found.content)):
        raise UsageError(f"{path}: {wrong}", hint=HINT)
    return found


def _faults(spec: FeatureSpec) -> Iterator[str]:
    names = [feature.name for feature in spec.discrete] + [feature.name for feature in spec.continuous]
    yield from (f"the feature {name!r} is there twice" for name in names if names.count(name) > 1)
    for feature in spec.discrete:
        if len(set(feature.values)) != len(feature.values):
            yield f"the feature {feature.name!r} has a value twice"
        if len(feature.values) > MOST_VALUES:
            yield f"the feature {feature.name!r} has {len(feature.values):,} values, more than {MOST_VALUES:,}"
    for each in spec.continuous:
        if not (math.isfinite(each.mean) and math.isfinite(each.deviation)):
            yield f"the feature {each.name!r} has a mean or deviation that is not finite"
