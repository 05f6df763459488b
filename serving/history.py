"""The newest manifests of a chain, each read once: none ever changes, and each names the digest of the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from contracts.chain import Chain, Entry
from contracts.errors import ChainBroken, FreshetError

Body = TypeVar("Body", bound=msgspec.Struct)


@dataclass(frozen=True)
class Newest(Generic[Body]):
    """What could be read of a chain, the newest first, and why the rest could not. `head`: its highest number."""

    head: int
    entries: list[Entry[Body]]
    faults: list[FreshetError]


class History(Generic[Body]):
    """Follows the newest `most` manifests of one chain; one thread at a time.

    A look costs a few probes for the head and reading what is new, plus whatever was damaged at the last look.
    """

    def __init__(self, chain: Chain[Body], most: int) -> None:
        self.chain, self._most = chain, most
        self._kept: dict[int, Entry[Body]] = {}

    def newest(self) -> Newest[Body]:
        """Return the newest manifests. What was read earlier counts only if its successor still names its digest."""
        head, expected = self.chain.head_number(), ""
        kept: dict[int, Entry[Body]] = {}
        faults: list[FreshetError] = []
        for number in range(head, max(head - self._most, 0), -1):
            try:
                kept[number] = self._entry(number, expected)
            except FreshetError as error:
                faults.append(error)
                expected = ""
                continue
            expected = kept[number].parent
        self._kept = kept
        return Newest(head, list(kept.values()), faults)

    def _entry(self, number: int, expected: str) -> Entry[Body]:
        """Return a manifest, `expected` its digest (empty: nobody knows it)."""
        known = self._kept.get(number)
        if known and known.digest == expected:
            return known
        entry = self.chain.read(number)
        if expected and entry.digest != expected:
            raise ChainBroken(f"manifest {number} of {self.chain.directory} is not the one that its successor names")
        return entry
