"""`--deep`: every manifest of every chain, and the digest of every file that a manifest names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from contracts.bases import BaseStore
from contracts.errors import FreshetError
from contracts.findings import Finding, of_error, ok
from contracts.layout import Layout
from infra.doctor.chains import families, named

Advance = Callable[[int], None]


def total(layout: Layout) -> int:
    """Return how many manifests and files of bases will be looked at."""
    chains = [chain for family in families(layout) for chain in family.chains.values()]
    return sum(len(chain.numbers()) for chain in chains) + len(BaseStore(layout).ids())


def proved(layout: Layout, advance: Advance) -> Iterator[Finding]:
    """Yield the first fault of each chain and base, or that a family is whole. `advance` is told of what is done."""
    for family in families(layout):
        count, broken = 0, False
        for partition, chain in family.chains.items():
            try:
                count += chain.verify(proved=lambda entry: advance(1))
            except (FreshetError, OSError) as error:
                broken = True
                yield of_error(named(family, partition), error, family.remedy(chain))
        if not broken:
            yield ok(family.what, f"{count:,} proved, with the digest of every file that they name")
    yield from _bases(layout, advance)


def _bases(layout: Layout, advance: Advance) -> Iterator[Finding]:
    store = BaseStore(layout)
    for base_id in store.ids():
        try:
            base = store.open(base_id)
            base.verify()
        except (FreshetError, OSError) as error:
            yield of_error(base_id, error)
        else:
            yield ok(base_id, f"the digest of each of its {len(base.manifest.files)} files")
        advance(1)
