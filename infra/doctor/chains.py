"""The chains of a run folder: what each family of them holds, and at a glance whether it is contiguous.

The glance lists every name, and reads the newest manifests; `digests` proves all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any, NamedTuple

from contracts import deltas, nights, rebases, served, shards
from contracts.chain import Chain, Entry
from contracts.errors import ChainBroken, FreshetError
from contracts.findings import Finding, of_error, ok, unused
from contracts.layout import Layout, names

NEWEST = 50
_COPY, _FOLDER = "Restore the file from a copy", "<folder>"


class Family(NamedTuple):
    """Chains that belong together, by partition or alone; `instead`: what to do where there is no copy of a file."""

    what: str
    chains: dict[int, Chain[Any]]
    instead: str

    def remedy(self, chain: Chain[Any]) -> str:
        """Return what to do about a chain that is broken."""
        return f"{_COPY}{self.instead.replace(_FOLDER, quote(str(chain.directory)))}"


def families(layout: Layout) -> list[Family]:
    """Return all chains of a run folder that have a folder."""
    found = [_shards(layout, topic) for topic in names(layout.shards("any", 0).parent.parent)]
    found += [_deltas(layout, base) for base in names(layout.deltas("any", 0).parent.parent)]
    found.append(Family("served", {0: served.chain(layout)}, ": every reader needs it."))
    found.append(Family("refused", {0: served.refused(layout)}, f", or do without the record: rm -r {_FOLDER}"))
    for base in names(layout.rebase("any").parent):
        again = f", or: rm -r {_FOLDER}; freshet trainer rebase --base {quote(base)}"
        found.append(Family(f"rebase of {base}", {0: rebases.chain(layout, base)}, again))
    for topic in names(layout.nights("any").parent):
        again = f", or have the next night plan anew: rm -r {_FOLDER}"
        found.append(Family(f"nights of {topic}", {0: nights.chain(layout, topic)}, again))
    return [family for family in found if any(chain.directory.is_dir() for chain in family.chains.values())]


def _shards(layout: Layout, topic: str) -> Family:
    chains = {p: shards.chain(layout, topic, p) for p in shards.partitions(layout, topic)}
    again = f"freshet streams replay --from-kafka --topic {quote(topic)} --root NEW"
    return Family(f"shards of {topic}", chains, f", or fold the log anew, as far as it reaches back: {again}")


def _deltas(layout: Layout, base: str) -> Family:
    folders = layout.deltas(base, 0).parent.iterdir()
    numbers = sorted(number for path in folders if (number := shards.numbered_folder(path)) is not None)
    again = f"end `freshet trainer online`, then: rm -r {_FOLDER}; freshet trainer online --base {quote(base)}"
    chains = {p: deltas.chain(layout, base, p) for p in numbers}
    return Family(f"deltas on {base}", chains, f", or fold them anew: {again}")


def look(layout: Layout) -> Iterator[Finding | None]:
    """Yield a line for each family, and one for each chain that is broken; None after each chain."""
    found = families(layout)
    if not found:
        yield unused("chains", f"there are none under {layout.root} yet")
    for family in found:
        entries: list[Entry[Any]] = []
        broken = False
        for partition, chain in family.chains.items():
            try:
                head = glanced(chain)
            except (FreshetError, OSError) as error:
                broken = True
                yield of_error(named(family, partition), error, family.remedy(chain))
                continue
            entries += [head] if head else []
            yield None
        if not broken:
            yield ok(family.what, _said(family, entries))


def named(family: Family, partition: int) -> str:
    """Return what a line about one chain is about."""
    return f"{family.what}, partition {partition}" if len(family.chains) > 1 else family.what


def glanced(chain: Chain[Any]) -> Entry[Any] | None:
    """Return the head. Raises `ChainBroken`, `Corrupt`, `UnknownSchema` for what can be seen without much reading."""
    numbers = chain.numbers()
    missing = next((at for at, number in enumerate(numbers, start=1) if at != number), None)
    if missing is not None:
        raise ChainBroken(f"manifest {missing} of {chain.directory} is missing: its newest is {numbers[-1]}")
    before: Entry[Any] | None = None
    for number in numbers[-NEWEST:]:
        entry = chain.read(number)
        if before is not None and entry.parent != before.digest:
            raise ChainBroken(f"manifest {number} of {chain.directory} does not follow the one before it")
        _sized(chain, entry)
        before = entry
    return before


def _sized(chain: Chain[Any], entry: Entry[Any]) -> None:
    for file in entry.files:
        path = chain.directory / file.name
        size = path.stat().st_size if path.exists() else None
        if size != file.size:
            has = "missing" if size is None else f"{size} bytes, and not {file.size}"
            raise ChainBroken(f"data file {path} of manifest {entry.number} is {has}")


def _said(family: Family, heads: list[Entry[Any]]) -> str:
    total = sum(head.number for head in heads)
    parts = f" in {len(family.chains)} partitions" if len(family.chains) > 1 else ""
    of = heads[0].body.partitions if heads and isinstance(heads[0].body, shards.Shard | deltas.Delta) else 0
    fewer = f" of {of}" if of > len(family.chains) else ""
    return f"{total:,} manifest{'s' * (total != 1)}{parts}{fewer}, contiguous"
