"""The served version: whether its base and its deltas are there, as a reader needs them."""

from __future__ import annotations

from collections.abc import Iterator

from contracts import deltas, served
from contracts.bases import BaseStore
from contracts.chain import Entry
from contracts.errors import FreshetError
from contracts.findings import Finding, fault, of_error, ok, unused
from contracts.layout import Layout
from contracts.served import Served
from infra.doctor import bases

_BACK = (
    "Restore it from a copy, or serve an older version: "
    "freshet publish history; freshet publish rollback --to N --why WHY"
)


def look(layout: Layout) -> Iterator[Finding]:
    """Yield whether what is served is whole."""
    head = served.head(layout)
    if head is None:
        yield unused("version", "nothing is published yet", "When there is a base: freshet publish once")
        return
    what = f"version {head.number}"
    try:
        base = BaseStore(layout).open(head.body.base_id)
        bases.check_sizes(layout, base)
    except (FreshetError, OSError) as error:
        yield of_error(what, error, _BACK)
        return
    if base.digest != head.body.base_digest:
        yield fault(what, f"base {head.body.base_id} is another one than was published", _BACK)
        return
    yield ok(what, f"{head.body.action} of base {head.body.base_id}, which is there")
    yield from _positions(layout, head)


def _positions(layout: Layout, head: Entry[Served]) -> Iterator[Finding]:
    """Yield whether the delta that each partition is served up to is the one that was published."""
    what, served_up_to = "deltas served", [position for position in head.body.positions if position.delta]
    for position in served_up_to:
        chain = deltas.chain(layout, head.body.base_id, position.partition)
        try:
            same = chain.read(position.delta).digest == position.digest
        except FreshetError as error:
            yield of_error(f"{what}, partition {position.partition}", error, _BACK)
            continue
        if not same:
            said = f"delta {position.delta} is another one than was published"
            yield fault(f"{what}, partition {position.partition}", said, _BACK, FreshetError.exit_code)
            return
    yield ok(what, f"{len(served_up_to)} of {len(head.body.positions)} partitions have one, and it is there")
