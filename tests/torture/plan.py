"""What a round plays, from its seed alone: the log's size, the settings, and the faults with their instants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.torture.fault import Fault, Instant
from tests.torture.log_faults import (
    AbortedTransaction,
    ClockAhead,
    DisorderedProducer,
    DoubledProducer,
    Retention,
    TopicAnew,
    TopicAnewUnderWorkers,
)
from tests.torture.process_faults import BrokerKill, ComeAndGo, Crash, Kill, KillAll, Sleeper, Zombie
from tests.torture.storage_faults import (
    FailingWrites,
    FullDisk,
    StateLost,
    StateLostUnderWorker,
    TornFile,
    TornShard,
)

POINTS = tuple(f"shards.commit.{step}" for step in range(5))
WORKERS = 3
SIZE = 3_000


@dataclass(frozen=True)
class Plan:
    """A round before it is played. The same seed, fault and number of workers give the same plan."""

    seed: int
    fault: str
    workers: int
    partitions: int
    size: int
    settings: dict[str, str]
    faults: tuple[Fault, ...]

    @property
    def title(self) -> str:
        """The faults by name."""
        return " + ".join(fault.name for fault in self.faults)

    @property
    def command(self) -> str:
        """The command that plays this round again."""
        return f"make torture ROUNDS=1 SEED={self.seed} FAULT={self.fault} WORKERS={self.workers}"


def plan(seed: int, fault: str = "", workers: int = WORKERS) -> Plan:
    """Return the plan of a seed. Without a fault, consecutive seeds take turns through all of them."""
    fault = fault or list(FAULTS)[seed % len(FAULTS)]
    dice = Random(f"{seed} {fault}")
    partitions, size = dice.choice([count for count in range(4, 9) if _for_all(count, workers)]), SIZE
    settings = {"rotate_samples": dice.choice(("25", "60", "4096")), "rotate_seconds": dice.choice(("300", "600"))}
    faults = [FAULTS[fault](dice, size, partitions)]
    if not faults[0].refuses:
        others = dice.sample(COMPANIONS, dice.choice((0, 1, 1, 2)))
        faults += [FAULTS[name](dice, size, partitions) for name in others if name != fault]
    return Plan(seed, fault, workers, partitions, size, settings, tuple(faults))


def _for_all(partitions: int, workers: int) -> bool:
    """Tell whether each worker gets a partition, though Faust may give any of them an equal share, rounded up."""
    return -(-partitions // workers) * (workers - 1) < partitions


def _instant(dice: Random, size: int, partitions: int) -> Instant:
    """Return an instant in the first half of the log, counted in records or in shards."""
    if dice.random() < 0.5:
        return Instant(records=dice.randrange(size // 5, size // 2))
    return Instant(shards=dice.randrange(partitions, 8 * partitions))


def _early(dice: Random, size: int, partitions: int) -> Instant:
    """Return an instant at which records are still to come and some shards are there."""
    return Instant(records=dice.randrange(size // 3, size // 2), shards=2 * partitions)


Maker = Callable[[Random, int, int], Fault]


def _crash(point: str) -> Maker:
    return lambda dice, *_: Crash(Instant(), dice.randrange(1 << 32), point, dice.randrange(1, 12))


def _zombie(point: str) -> Maker:
    return lambda dice, *_: Zombie(Instant(), dice.randrange(1 << 32), point, dice.randrange(1, 8))


def _torn(point: str) -> Maker:
    return lambda dice, *_: TornFile(Instant(), dice.randrange(1 << 32), point, dice.randrange(1, 8))


def _at(kind: Callable[[Instant, int], Fault], instant: Callable[[Random, int, int], Instant] = _instant) -> Maker:
    return lambda dice, *shape: kind(instant(dice, *shape), dice.randrange(1 << 32))


def _many(kind: Callable[[Instant, int, int], Fault], counts: range) -> Maker:
    return lambda dice, *shape: kind(_instant(dice, *shape), dice.randrange(1 << 32), dice.choice(counts))


FAULTS: dict[str, Maker] = {
    **{f"crash-{point}": _crash(point) for point in POINTS},
    "kill": _at(Kill),
    "kill-all": _at(KillAll),
    "zombie-shards.commit.1": _zombie("shards.commit.1"),
    "zombie-shards.commit.2": _zombie("shards.commit.2"),
    "zombie-shards.commit.3": _zombie("shards.commit.3"),
    "sleeper": _at(Sleeper),
    "come-and-go": _many(ComeAndGo, range(1, 3)),
    "broker-kill": _at(BrokerKill),
    "full-disk": _at(FullDisk),
    "failing-writes": _at(FailingWrites),
    "state-lost": _at(StateLost, _early),
    "state-lost-under-a-worker": _at(StateLostUnderWorker),
    "torn-shards.commit.1": _torn("shards.commit.1"),
    "torn-shards.commit.2": _torn("shards.commit.2"),
    "torn-shard": _at(TornShard),
    "topic-anew": _at(TopicAnew, _early),
    "topic-anew-under-workers": _at(TopicAnewUnderWorkers, _early),
    "retention": _at(Retention, _early),
    "aborted-transaction": _many(AbortedTransaction, range(5, 30)),
    "doubled-producer": _many(DoubledProducer, range(100, 400)),
    "disordered-producer": _many(DisorderedProducer, range(200, 800)),
    "clock-ahead": _many(ClockAhead, range(200, 600)),
}

# Faults that go with any other.
COMPANIONS = [
    "crash-shards.commit.0",
    "crash-shards.commit.2",
    "crash-shards.commit.3",
    "kill",
    "doubled-producer",
    "disordered-producer",
]
