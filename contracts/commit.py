"""Commit to a chain: the one sequence that shards (streams) and deltas (trainer) share.

 1. encode, write the data files under a unique name, fsync files and directory.
 2. one atomic batch into the partition's state DB: state change, position, and the pending manifest.
 3. create the next manifest exclusively: the commit.
 4. tell the source (a Kafka offset): a hint.
 5. the next batch replaces `pending`.

What a crash leaves: before or during 1 a torn data file, after 1 a whole one that no manifest names (`remove_orphans`
deletes either when the head has passed its number); between 2 and 3 a pending manifest, which `recover` creates;
between 3 and 4 an old hint, which the owner ignores. `docs/guarantees.md` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from contracts.chain import NO_PARENT, Body, Chain, Entry
from contracts.crash import reach
from contracts.errors import ChainBroken, ChainTaken, Corrupt, StateDamaged, StateHeld, UnknownSchema
from contracts.state_db import Changes, StateDB

_AT = b"!at"
_PENDING = b"!pending"
MAX_HELD = 8


@dataclass
class Committer(Generic[Body]):
    """The owner's end of one chain: its head as this process knows it and the state DB that goes with it.

    Made by `recover` only. After `ChainTaken` from `commit` the object must not be used again: call `recover`.
    """

    name: str
    chain: Chain[Body]
    state: StateDB
    head: Entry[Body] | None

    def commit(
        self,
        body: Body,
        files: dict[str, bytes],
        changes: Iterable[Changes],
        tell: Callable[[], None] = lambda: None,
    ) -> Entry[Body]:
        """Run steps 1 to 4; when it returns, the manifest exists, and state and chain agree.

        Raises `ChainTaken` when another owner was quicker, `OSError` when the disk fails: either ends this owner.
        `tell` may be lost in a crash; nothing depends on it.
        """
        reach(f"{self.name}.commit.0")
        # Step 1: the data files
        entry = self.chain.prepare(self.head, body, files)
        reach(f"{self.name}.commit.1")
        # Step 2: the state batch with the pending manifest
        self.state.write(*changes, {_AT: entry.digest.encode(), _PENDING: entry.data})
        reach(f"{self.name}.commit.2")
        # Step 3: the commit
        self.chain.create(entry)
        self.head = entry
        reach(f"{self.name}.commit.3")
        # Step 4: the hint
        tell()
        reach(f"{self.name}.commit.4")
        return entry


def recover(name: str, chain: Chain[Body], state_directory: Path) -> tuple[Committer[Body], bool]:
    """Open the state DB of a partition just assigned, and make it agree with the head of the chain.

    Returns the committer, and whether the state is warm: True: it is the state at the head. False: the DB is empty and
    the caller must rebuild it. Never guesses: a DB that neither is at the head nor one step ahead of it is dropped; so
    is one without a position: half a rebuild. Raises `ChainBroken` where a manifest is missing in the middle.
    """
    if (highest := chain.highest()) > (number := chain.head_number()):
        raise ChainBroken(f"manifest {number + 1} of {chain.directory} is missing, and {highest} is there")
    head = chain.read(number) if number else None
    state, at, pending = _best_free(state_directory, chain, head)
    if head and at == head.digest:
        return Committer(name, chain, state, head), True
    if pending and _follows(pending, head) and chain.holds(pending):
        try:
            chain.create(pending)
            return Committer(name, chain, state, pending), True
        except ChainTaken:
            head = chain.head()
    if not state.empty():
        state.reset()
    return Committer(name, chain, state, head), False


def position(chain: Chain[Body], state: StateDB) -> tuple[str, Entry[Body] | None]:
    """Return the digest of the manifest that a state DB is at, empty where there is none, and its pending manifest.

    The pending one is the newest that it tried to commit; None where it is damaged or of another schema.
    """
    pending = state.get(_PENDING)
    return (state.get(_AT) or b"").decode("latin-1"), _readable(chain, pending) if pending else None


def _readable(chain: Chain[Body], pending: bytes) -> Entry[Body] | None:
    """Decode a pending manifest; None where it is damaged or of another schema: the DB is a cache, and is dropped."""
    try:
        return chain.parse(pending, "the pending manifest")
    except (Corrupt, UnknownSchema):
        return None


def _follows(entry: Entry[Body], head: Entry[Body] | None) -> bool:
    return (entry.parent, entry.number) == ((head.digest, head.number + 1) if head else (NO_PARENT, 1))


def _best_free(
    directory: Path, chain: Chain[Body], head: Entry[Body] | None
) -> tuple[StateDB, str, Entry[Body] | None]:
    """Return a free state DB with its position: the one at the head, or ahead of it, else any; the others are dropped.

    Another process may hold the first, a former owner that is asleep, say: then one is begun beside it.
    """
    best: tuple[StateDB, str, Entry[Body] | None] | None = None
    for number in range(MAX_HELD):
        candidate = directory.with_name(f"{directory.name}-{number}") if number else directory
        if best and not candidate.exists():
            continue
        try:
            state = StateDB(candidate)
        except StateHeld:
            continue
        at, pending = _position_or_none(chain, state)
        useful = bool(head and at == head.digest) or bool(pending and _follows(pending, head))
        if best is None or useful:
            best, spare = (state, at, pending), best[0] if best else None
        else:
            spare = state
        if spare:
            spare.discard()
    if best is None:
        raise StateHeld(
            f"{MAX_HELD} processes hold states of {directory}",
            hint="End those that should not run under this run folder.",
        )
    return best


def _position_or_none(chain: Chain[Body], state: StateDB) -> tuple[str, Entry[Body] | None]:
    try:
        return position(chain, state)
    except StateDamaged:
        state.reset()
        return "", None
