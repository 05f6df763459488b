"""What the new deltas of a candidate hold, read once: what is unusable in them, and the numbers that gates judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts import deltas
from contracts.angles import angles
from contracts.arrays import Doubles, Floats
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.errors import FreshetError
from contracts.recall import Recall, validation_of
from contracts.reference import Reference, reference_of
from contracts.rows import RowTable
from publisher.candidate import Advance, Candidate


@dataclass
class Measured:
    """`faults`: what no reader could use, in words. `norms`: lengths of the new own rows, float32 by delta. `angles`:
    degrees by which those moved of whom the reference knows. `commons`: lengths of the new common rows. `size`: bytes
    of the deltas' files. `reference` None: the base has none.
    """

    faults: list[str] = field(default_factory=list)
    norms: list[Floats] = field(default_factory=list)
    angles: list[float] = field(default_factory=list)
    commons: list[float] = field(default_factory=list)
    recall: Recall = field(default_factory=Recall)
    bodies: list[Delta] = field(default_factory=list)
    size: int = 0
    reference: Reference | None = None


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
        content = deltas.read_content(advance.chain, entry)
        records = validation_of(advance.chain, entry)
    except FreshetError as error:
        found.faults.append(f"{name}: {error}")
        return
    if fault := unusable(content.common, content.rows, content.trend):
        found.faults.append(f"{name}: {fault}")
        return
    found.norms.append(np.sqrt(_squared(content.rows.own)))
    found.angles += _angles(found.reference, content.rows)
    found.commons.append(float(np.linalg.norm(content.common)))
    found.recall.add(records)
    found.bodies.append(entry.body)
    found.size += sum(file.size for file in entry.files)


def _angles(reference: Reference | None, rows: RowTable) -> list[float]:
    """Return the degrees between rows now and in the base, on the base's common row, for users of the reference."""
    if reference is None:
        return []
    sampled = {user: at for at, user in enumerate(reference.users)}
    at = np.array([sampled.get(user, -1) for user in rows.users], dtype=np.int64)
    known = np.flatnonzero(at >= 0)
    now, before = reference.common + rows.own[known], reference.common + reference.own[at[known]]
    return angles(now, before).tolist()  # type: ignore[no-any-return]


def unusable(common: Floats, rows: RowTable, trend: Mapping[str, float]) -> str:
    """Name the first thing in a delta or base that is no finite number (or no possible count), empty if all is well."""
    if not np.all(np.isfinite(common)):
        return "the common row is not finite"
    wrong = np.flatnonzero(~np.isfinite(_squared(rows.own)))  # a number whose square is not finite is none either
    if len(wrong):
        return f"{len(wrong)} rows are not finite, the first is that of user {rows.users[wrong[0]]!r}"
    items = [item for item, count in trend.items() if not 0 <= count < np.inf]
    return f"{len(items)} trend counts are impossible, the first is that of item {items[0]!r}" if items else ""


def _squared(rows: Floats) -> Floats:
    """Return the squared lengths of rows, float32 [n]."""
    return np.asarray(np.einsum("nd,nd->n", rows, rows), dtype=np.float32)


def histogram(numbers: Doubles, highest: float) -> str:
    """Return ten bars from 0 to `highest`; what lies above is in the last."""
    places = Counter(np.minimum(numbers / highest * 10, 9).astype(int).tolist())
    return bars([places[n] for n in range(10)])


def bars(counts: Sequence[int]) -> str:
    """Return a bar for each count, a space for none."""
    most = max(counts, default=0) or 1
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)
