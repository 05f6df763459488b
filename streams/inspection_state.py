"""What the state DB of one partition holds, and how it stands to the chain. Works beside a running worker."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from contracts import commit, shards
from contracts.chain import Entry
from contracts.errors import FreshetError, MissingInput
from contracts.layout import Layout
from contracts.shards import Shard, ShardChain
from contracts.state_db import StateDB
from streams.join import REQUESTS, SEEN
from streams.parking import PARKED
from streams.pipeline import SAVED, unpack_saved

KINDS = {REQUESTS: "requests", SEEN: "event ids"}
GENERATION_BYTES = 4


class Entries(msgspec.Struct):
    """Entries of one kind: how many, their bytes, and how many by generation (`deadline // life`; `""`: no such)."""

    count: int = 0
    bytes: int = 0
    generations: dict[str, int] = {}


class StateFacts(msgspec.Struct):
    """The state of one partition as `inspect --state` tells it; the JSON form has these keys.

    `at`: digest of the manifest that it is the state after, `number` that manifest's, 0 while unknown. `agrees`: how it
    stands to the head of the chain. `spare`: folders that were begun while another process held this one.
    """

    partition: int
    path: str
    at: str = ""
    number: int = 0
    head: int = 0
    agrees: str = "there is none: a worker rebuilds it from the log"
    watermark: int = -1
    marks: int = 0
    rebuild_offset: int = -1
    entries: dict[str, Entries] = {}
    spare: list[str] = []
    fault: str = ""


def partitions(layout: Layout, topic: str) -> list[int]:
    """Return the partitions of a topic that have a state DB."""
    parent = layout.stream_state(topic, 0).parent
    found = (shards.numbered_folder(path) for path in parent.iterdir()) if parent.is_dir() else ()
    return sorted(partition for partition in found if partition is not None)


def state_facts(layout: Layout, topic: str, partition: int) -> StateFacts:
    """Return what the state DB of a partition holds now; damage is told as `fault`, not raised."""
    path = layout.stream_state(topic, partition)
    facts = StateFacts(partition, str(path), spare=[str(spare) for spare in _spare(path)])
    try:
        state = StateDB(path, read_only=True)
    except MissingInput:
        return facts
    except (FreshetError, OSError) as error:
        facts.fault = str(error)
        return facts
    try:
        _look(facts, shards.chain(layout, topic, partition), state)
    except (FreshetError, msgspec.MsgspecError) as error:
        facts.fault = str(error)
    finally:
        state.close()
    return facts


def _spare(path: Path) -> list[Path]:
    found = (path.with_name(f"{path.name}-{number}") for number in range(1, commit.MAX_HELD))
    return [spare for spare in found if spare.is_dir()]


def _look(facts: StateFacts, chain: ShardChain, state: StateDB) -> None:
    facts.at, pending = commit.position(chain, state)
    head = chain.head()  # after the position: a running worker only goes forwards
    facts.number = pending.number if pending and pending.digest == facts.at else 0
    facts.head = head.number if head else 0
    facts.agrees = _agrees(facts, chain, head, pending)
    if packed := state.get(SAVED):
        saved = unpack_saved(packed)
        facts.watermark, facts.marks = saved.reading.watermark, len(saved.marks)
        facts.rebuild_offset = saved.marks[0].offset if saved.marks else -1
    facts.entries = {name: _generations(state, prefix) for prefix, name in KINDS.items()}
    facts.entries["parked clicks"] = _parked(state)


def _agrees(facts: StateFacts, chain: ShardChain, head: Entry[Shard] | None, pending: Entry[Shard] | None) -> str:
    if not facts.at:
        return "no position: empty, or half a rebuild; a worker drops it and rebuilds it"
    if head and facts.at == head.digest:
        return "yes: at the head of the chain"
    if not facts.number or not pending:
        return "no: at a manifest that it does not hold; a worker drops it and rebuilds it"
    if facts.number == facts.head + 1 and pending.parent == (head.digest if head else ""):
        return "one shard ahead: a worker creates its manifest and goes on"
    if facts.number < facts.head and chain.read(facts.number).digest == facts.at:
        return f"{facts.head - facts.number} behind the head: a worker that begins there drops it and rebuilds it"
    return "no: at a shard that is not in the chain; a worker drops it and rebuilds it"


def _generations(state: StateDB, prefix: bytes) -> Entries:
    found, generations = Entries(), Counter[str]()
    for key, value in state.scan(prefix):
        found.count += 1
        found.bytes += len(prefix) + len(key) + len(value)
        generation = key[:GENERATION_BYTES]
        generations[str(int.from_bytes(generation, "big")) if len(generation) == GENERATION_BYTES else ""] += 1
    found.generations = dict(sorted(generations.items()))
    return found


def _parked(state: StateDB) -> Entries:
    found = Entries()
    for key, value in state.scan(PARKED):
        found.count += 1
        found.bytes += len(PARKED) + len(key) + len(value)
    return found
