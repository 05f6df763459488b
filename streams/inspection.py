"""What the chain of one partition says of itself: facts added up from its manifests, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from contracts import shards
from contracts.chain import DataFile, Entry
from contracts.errors import FreshetError, MissingInput
from contracts.layout import Layout
from contracts.samples import Sample
from contracts.shards import DeadLetter, Shard, ShardChain

Proved = Callable[[int], None]


class PartitionFacts(msgspec.Struct):
    """What `inspect` and `replay` tell of one partition; the JSON form has these keys.

    `lost`: manifests that admit lost records. `verified`: everything was proved. `fault`: what is damaged, else empty;
    the numbers are then those of the manifests before the damage.
    """

    partition: int
    shards: int = 0
    first_offset: int = 0
    next_offset: int = 0
    samples: int = 0
    watermark: int = -1
    read: dict[str, int] = {}
    emitted: dict[str, int] = {}
    lost: int = 0
    digest: str = ""
    verified: bool = False
    fault: str = ""


class ShardFacts(msgspec.Struct):
    """One shard as `inspect --shard` shows it; the JSON form has these keys, `manifest` with those of a shard.

    `fault`: what is wrong with its data files, else empty; there are then no samples and dead letters to show.
    """

    number: int
    digest: str
    parent: str
    files: tuple[DataFile, ...]
    manifest: Shard
    first_samples: list[Sample] = []
    last_samples: list[Sample] = []
    dead_letters: list[DeadLetter] = []
    fault: str = ""


def partition_facts(layout: Layout, topic: str, partition: int, digest: str) -> PartitionFacts:
    """Add up the manifests of one partition, whose samples have this digest. Raises `ChainBroken`, `Corrupt`."""
    facts = PartitionFacts(partition, digest=digest)
    _add_up(shards.chain(layout, topic, partition), facts)
    return facts


def examined(layout: Layout, topic: str, partition: int, verify: bool, proved: Proved) -> PartitionFacts:
    """Return the facts of a partition, its damage among them: nothing is raised for what is wrong on disk.

    Without `verify` the manifests alone are read and their chain is proved; with it all data, the samples digested.
    `proved` gets how many shards have been proved since it was called last.
    """
    chain, facts = shards.chain(layout, topic, partition), PartitionFacts(partition)
    try:
        _add_up(chain, facts)
        chain.verify(deep=False)  # finds what lies behind a gap, too
        if verify:
            shards.verify(chain, lambda entry: proved(1))
            facts.digest, facts.verified = shards.samples_digest(chain), True
    except FreshetError as error:
        facts.fault = str(error)
    except OSError as error:
        facts.fault = f"{chain.directory} cannot be read: {error}"
    return facts


def shard_facts(layout: Layout, topic: str, partition: int, number: int, count: int) -> ShardFacts:
    """Return one shard with its first and last `count` samples and dead letters.

    Raises `MissingInput` where the chain does not reach so far, `Corrupt`, `ChainBroken`, `UnknownSchema` where the
    manifest itself is damaged.
    """
    chain = shards.chain(layout, topic, partition)
    head = chain.highest()
    if number > head:
        raise MissingInput(
            f"partition {partition} of {topic!r} has no shard {number}: its newest is {head}",
            hint="`freshet streams inspect` lists partitions and how many shards they have.",
        )
    entry = chain.read(number)
    facts = ShardFacts(number, entry.digest, entry.parent, entry.files, entry.body)
    try:
        found, letters = shards.read_samples(chain, entry), shards.read_dead_letters(chain, entry)
    except FreshetError as error:
        facts.fault = str(error)
        return facts
    facts.first_samples, facts.last_samples = found[:count], found[max(count, len(found) - count) :]
    facts.dead_letters = letters[:count]
    return facts


def dead_letters(layout: Layout, topic: str, partition: int, newest: int) -> list[DeadLetter]:
    """Return the newest dead letters of a partition, the oldest of them first. Raises `Corrupt`, `ChainBroken`."""
    chain = shards.chain(layout, topic, partition)
    found: list[DeadLetter] = []
    number = chain.head_number()
    while number and len(found) < newest:
        found = [*shards.read_dead_letters(chain, chain.read(number)), *found]
        number -= 1
    return found[-newest:]


def _add_up(chain: ShardChain, facts: PartitionFacts) -> None:
    read, emitted = Counter[str](), Counter[str]()
    for entry in chain.entries():
        _add(entry, facts)
        read.update(entry.body.read)
        emitted.update(entry.body.emitted)
        facts.read, facts.emitted = dict(sorted(read.items())), dict(sorted(emitted.items()))


def _add(entry: Entry[Shard], facts: PartitionFacts) -> None:
    body = entry.body
    if not facts.shards:
        facts.first_offset = body.first_offset
    facts.shards, facts.watermark = entry.number, body.watermark
    facts.next_offset, facts.samples = body.next_offset, body.next_ordinal
    facts.lost += body.kind == "lost"
