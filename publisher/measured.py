"""What the new deltas of a candidate hold, read once: what is unusable in them, and the numbers that gates judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts import deltas, validation
from contracts.arrays import Doubles, Floats
from contracts.chain import Entry
from contracts.deltas import Changes, Delta, DeltaChain
from contracts.errors import FreshetError
from contracts.reference import Reference, reference_of
from contracts.rows import Row
from contracts.validation import BlockScore
from publisher.candidate import Advance, Candidate

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


@dataclass
class Measured:
    """`faults`: what no reader could use, in words. `norms`: lengths of the touched users' newest own rows. `angles`:
    degrees by which those moved of whom the reference knows; None without one. `commons`: lengths of the new common
    rows. `touched`: rows and tombstones by user. `size`: bytes of the deltas' files.
    """

    faults: list[str] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    commons: list[float] = field(default_factory=list)
    recall: Recall = field(default_factory=Recall)
    bodies: list[Delta] = field(default_factory=list)
    size: int = 0
    reference: Reference | None = None

    @property
    def norms(self) -> Doubles:
        """Lengths of the newest own row of each touched user."""
        return np.array([float(np.linalg.norm(row.own)) for row in self.rows.values()], dtype=np.float64)

    @property
    def angles(self) -> Doubles:
        """Degrees between a user's row now and in the base, on the base's common row, for users of the reference."""
        known = self.reference
        if not known:
            return np.zeros(0)
        moved = [(row.own, known.own[user]) for user, row in self.rows.items() if user in known.own]
        return np.array([degrees(known.common + now, known.common + before) for now, before in moved])


def measure(candidate: Candidate) -> Measured:
    """Read every new delta of a candidate once, digests checked."""
    found = Measured()
    try:
        found.reference = reference_of(candidate.base)
    except FreshetError as error:
        found.faults.append(str(error))
    for advance in candidate.advances:
        for entry in advance.shown:
            _add(found, advance, entry)
    return found


def _add(found: Measured, advance: Advance, entry: Entry[Delta]) -> None:
    name = f"delta {entry.number} of partition {advance.before.partition}"
    try:
        changes = deltas.read(advance.chain, entry)
        records = validation_of(advance.chain, entry)
    except FreshetError as error:
        found.faults.append(f"{name}: {error}")
        return
    if fault := unusable(changes.common, changes.rows, changes.trend):
        found.faults.append(f"{name}: {fault}")
        return
    _take(found, changes)
    found.recall.add(records)
    found.bodies.append(entry.body)
    found.size += sum(file.size for file in entry.files)


def _take(found: Measured, changes: Changes) -> None:
    for user in changes.tombstones:
        found.rows.pop(user, None)
    found.gone |= changes.tombstones
    found.rows.update(changes.rows)
    found.gone -= changes.rows.keys()
    found.commons.append(float(np.linalg.norm(changes.common)))


def validation_of(chain: DeltaChain, entry: Entry[Delta]) -> list[BlockScore]:
    """Return the validation records of a delta, none where it has none. Raises `Corrupt`, `ChainBroken`."""
    if not any(file.name.endswith(deltas.VALIDATION) for file in entry.files):
        return []
    what = f"the validation records of delta {entry.number} of {chain.directory}"
    return validation.decode(chain.data(entry, deltas.VALIDATION), what)


def unusable(common: Floats, rows: Mapping[str, Row], trend: Mapping[str, float]) -> str:
    """Name the first thing in a delta or base that is no finite number (or no possible count), empty if all is well."""
    if not np.all(np.isfinite(common)):
        return "the common row is not finite"
    users = [user for user, row in rows.items() if not np.all(np.isfinite(row.own))]
    if users:
        return f"{len(users)} rows are not finite, the first is that of user {users[0]!r}"
    items = [item for item, count in trend.items() if not 0 <= count < np.inf]
    return f"{len(items)} trend counts are impossible, the first is that of item {items[0]!r}" if items else ""


def degrees(one: Floats, other: Floats) -> float:
    """Return the angle between two vectors, float32 [width]; 0 where one has no direction."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(one @ other / lengths, -1, 1)))) if lengths else 0.0


def histogram(numbers: Doubles, highest: float) -> str:
    """Return ten bars from 0 to `highest`; what lies above is in the last."""
    places = Counter(np.minimum(numbers / highest * 10, 9).astype(int).tolist())
    return bars([places[n] for n in range(10)])


def bars(counts: Sequence[int]) -> str:
    """Return a bar for each count, a space for none."""
    most = max(counts, default=0) or 1
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)
