"""Gates: checks that may refuse a promotion, each with a reason in words.

What no reader could use is refused whoever asks; the limits of `publisher.limits` can be overruled with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from contracts import deltas
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.errors import FreshetError, PublishRefused
from contracts.served import Gate
from publisher import limits
from publisher.candidate import Advance, Candidate
from publisher.measured import measure, unusable
from publisher.settings import Limits


def check(candidate: Candidate, within: Limits, now: int) -> tuple[Gate, ...]:
    """Return the verdicts of all gates, of the limits only where there is something that readers could use.

    Reads every new delta once, digests checked. `now`: ms, the wall clock.
    """
    measured = measure(candidate)
    usable = (
        _gate("position", _behind(candidate), "no partition lies behind what is served"),
        _gate("contiguity", _gaps(candidate), "every delta follows the one before it"),
        _gate("contract", _foreign(candidate), "width, partitions and trend reference are the base's"),
        _gate("finite", iter(measured.faults), "all rows and counts are finite numbers"),
    )
    return usable + (limits.check(candidate, measured, within, now) if not failed(usable) else ())


def failed(gates: Sequence[Gate]) -> list[Gate]:
    """Return those that did not pass."""
    return [gate for gate in gates if not gate.passed]


def of_base(base: OpenBase) -> Gate:
    """Return the verdict over the numbers of a base, which is asked before its items are staged."""
    fault = _base_fault(base)
    return _gate("base", iter([fault] if fault else []), "all its rows, vectors, biases and counts are finite numbers")


def require(gates: Sequence[Gate], base_id: str, force: bool = False) -> None:
    """Raise `PublishRefused` with the verdicts unless every gate passed; `force` overrules the limits."""
    against = [gate for gate in failed(gates) if not (force and gate.name in limits.NAMES)]
    if not against:
        return
    verdicts = "; ".join(f"{gate.name}: {gate.detail}" for gate in against)
    hint = "What was served stays served. `freshet publish rollback` holds deltas that must not be shown."
    if all(gate.name in limits.NAMES for gate in against):
        hint += " `--force --why REASON` shows it all the same."
    raise PublishRefused(f"base {base_id} was not published: {verdicts}", hint=hint)


def _gate(name: str, faults: Iterator[str], otherwise: str) -> Gate:
    found = list(faults)
    return Gate(name, not found, "; ".join(found) or otherwise)


def _behind(candidate: Candidate) -> Iterator[str]:
    for advance in candidate.advances:
        before = advance.before
        if advance.head < before.delta:
            yield f"partition {before.partition} ends at delta {advance.head}, {before.delta} is served"
        ordinals = [before.next_ordinal, *(entry.body.next_ordinal for entry in advance.entries)]
        if ordinals != sorted(ordinals):
            yield f"partition {before.partition} goes back in samples"


def _gaps(candidate: Candidate) -> Iterator[str]:
    for advance in candidate.advances:
        try:
            _check_follows(advance, candidate)
        except FreshetError as error:
            yield f"partition {advance.before.partition}: {error}"


def _check_follows(advance: Advance, candidate: Candidate) -> None:
    """Raise `WrongParent`, `ChainBroken` or `Corrupt` unless the new deltas follow the served position one by one."""
    number = advance.before.delta
    last = advance.chain.read(number) if number else None
    if last and last.digest != advance.before.digest:
        raise PublishRefused(f"delta {number} is not the one that is served")
    cut = candidate.base.manifest.cut[advance.before.partition]
    for entry in advance.entries:
        deltas.check_follows(entry, candidate.base.digest, last, cut)
        last = entry


def _foreign(candidate: Candidate) -> Iterator[str]:
    base = candidate.base.manifest
    for advance in candidate.advances:
        expected = (base.towers.width, base.topic, advance.before.partition, base.partitions, base.trend_t0)
        for entry in advance.entries:
            body = entry.body
            found = (body.width, body.topic, body.partition, body.partitions, body.trend_t0)
            if found != expected:
                names = ("width", "topic", "partition", "partitions", "trend_t0")
                differing = [n for n, a, b in zip(names, found, expected, strict=True) if a != b]
                yield f"{_name(advance, entry)} has another {' and '.join(differing)} than the base"


def _base_fault(base: OpenBase) -> str:
    """Name the first thing that makes a base unusable, empty if all is well."""
    try:
        items = base.items
        for name, numbers in (("vectors", items.vectors), ("biases", items.biases)):
            wrong = np.flatnonzero(~np.isfinite(numbers.reshape(len(items.ids), -1)).all(axis=1))
            if len(wrong):
                return f"{len(wrong)} {name} are not finite, the first is that of item {items.ids[wrong[0]]!r}"
        return unusable(base.common, base.rows, base.trend)
    except FreshetError as error:
        return str(error)


def _name(advance: Advance, entry: Entry[Delta]) -> str:
    return f"delta {entry.number} of partition {advance.before.partition}"
