"""What validation records say together: hits of an arm against those of its control, on the same clicks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts import deltas, validation
from contracts.chain import Entry
from contracts.deltas import Delta, DeltaChain
from contracts.layout import Layout
from contracts.validation import BlockScore

ALL_CLICKS = "all"


@dataclass
class Recall:
    """Hits of both arms on the clicks that were scored before they were learned; `k` is that of the hits."""

    clicks: int = 0
    served: int = 0
    frozen: int = 0
    k: int = 0

    def add(self, records: Iterable[BlockScore]) -> None:
        """Count the records of the slice of all clicks."""
        for record in records:
            if record.slice == ALL_CLICKS and record.arm == "served":
                self.clicks, self.served, self.k = self.clicks + record.samples, self.served + record.hits, record.k
            elif record.slice == ALL_CLICKS:
                self.frozen += record.hits


def sum_of(parts: Sequence[Recall]) -> Recall:
    """Return the hits of several parts together."""
    clicks, served, frozen = (sum(getattr(part, name) for part in parts) for name in ("clicks", "served", "frozen"))
    return Recall(clicks, served, frozen, max((part.k for part in parts), default=0))


def is_worse(found: int, control: int) -> bool:
    """Whether fewer hits than the control's are more than chance: two deviations, if hits were independent."""
    return control - found > 2 * math.sqrt(control + found)


def validation_of(chain: DeltaChain, entry: Entry[Delta]) -> list[BlockScore]:
    """Return the validation records of a delta, none where it has none. Raises `Corrupt`, `ChainBroken`."""
    if not any(file.name.endswith(deltas.VALIDATION) for file in entry.files):
        return []
    what = f"the validation records of delta {entry.number} of {chain.directory}"
    return validation.decode(chain.data(entry, deltas.VALIDATION), what)


def between(chain: DeltaChain, since: int, until: int) -> Recall:
    """Return the hits on blocks from `since` on (ms of watermark), in the deltas of a chain that end by `until`."""
    found = Recall()
    first = chain.first_that_reached(since + 1, lambda body: body.watermark)
    for entry in chain.entries(after=first - 1):
        if entry.body.watermark > until:
            break
        found.add(record for record in validation_of(chain, entry) if record.watermark >= since)
    return found


@dataclass(frozen=True)
class Comparison:
    """Two bases on the same clicks, each with the rows learned on it so far: hits among the first `k` of each."""

    clicks: int
    hits: int
    former_hits: int
    k: int

    @property
    def is_worse(self) -> bool:
        """Whether the newer base found fewer than the former, by more than chance."""
        return is_worse(self.hits, self.former_hits)


def compared(layout: Layout, bases: tuple[str, str], since: int, until: Sequence[int]) -> Comparison:
    """Compare the online branches of a former and a newer base by their validation records.

    Counted are, in each partition, the deltas in (since, until[partition]] (ms of watermark) as far as both branches
    have come.
    """
    former, newer = [Recall()], [Recall()]
    for partition, end in enumerate(until):
        chains = [deltas.chain(layout, base_id, partition) for base_id in bases]
        heads = [chain.head() for chain in chains]
        both = min([end, *(head.body.watermark if head else since for head in heads)])
        found = [between(chain, since, both) for chain in chains]
        former.append(found[0])
        newer.append(found[1])
    before, now = sum_of(former), sum_of(newer)
    return Comparison(min(before.clicks, now.clicks), now.served, before.served, now.k)
