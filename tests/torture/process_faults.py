"""Faults of processes: workers that are killed, that sleep and wake, that come and go; and the broker's death."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from contracts.crash import STOP
from tests.torture.crew import Excuse, Hand
from tests.torture.fault import Fault
from tests.torture.round import Round, Steps
from tests.torture.verdict import NotStruck


@dataclass(frozen=True)
class Crash(Fault):
    """A worker kills itself the n-th time that it reaches a step of the commit."""

    name: ClassVar[str] = "crash"
    point: str
    nth: int

    def strike(self, game: Round) -> Steps:
        while True:
            arm = game.crew.arm(f"{self.point}@{self.nth}")
            yield from game.wait(arm.over)
            if arm.over(by_itself=True):
                break  # else another fault was quicker
        game.note(f"a worker killed itself at {arm.crash_at}")


@dataclass(frozen=True)
class Kill(Fault):
    """SIGKILL of one worker, in the middle of whatever it does."""

    name: ClassVar[str] = "kill"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game) and bool(game.crew.free()))
        hand = self.dice.choice(game.crew.free())
        hand.send(signal.SIGKILL)
        yield from game.wait(lambda: hand.code is not None)
        _must_be(hand.code == -signal.SIGKILL, "the worker did not die by SIGKILL")
        game.note(f"SIGKILL of a worker after {len(game.feed.sent)} records")


@dataclass(frozen=True)
class KillAll(Fault):
    """SIGKILL of all workers at one moment."""

    name: ClassVar[str] = "kill-all"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        count = len(game.crew.hands)
        _must_be(count > 0, "no worker was running")
        game.crew.end_all()
        game.note(f"SIGKILL of all {count} workers after {sum(game.head_numbers())} shards")


@dataclass(frozen=True)
class Zombie(Fault):
    """A worker stops between two steps of a commit, is overtaken by another, and then is woken."""

    name: ClassVar[str] = "zombie"
    point: str
    nth: int

    def strike(self, game: Round) -> Steps:
        while True:
            arm = game.crew.arm(f"{STOP}{self.point}@{self.nth}")
            yield from game.wait(lambda arm=arm: arm.stopped() or arm.over())  # type: ignore[misc]
            if arm.stopped():
                break
        yield from _overtaken(game, arm.taker, f"stopped itself at {self.point}@{self.nth}")


@dataclass(frozen=True)
class Sleeper(Fault):
    """A worker that owns partitions is stopped from outside past its session, overtaken, and then woken."""

    name: ClassVar[str] = "sleeper"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game) and bool(_owners(game)))
        hand = self.dice.choice(_owners(game))
        hand.send(signal.SIGSTOP)
        yield from game.wait(lambda: hand.stopped)
        yield from _overtaken(game, hand, "was stopped")


@dataclass(frozen=True)
class ComeAndGo(Fault):
    """Workers leave in order, and others join, while shards are open."""

    name: ClassVar[str] = "come-and-go"
    times: int

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        left = 0
        while left < self.times:
            yield from game.wait(lambda: bool(_owners(game)))
            known, leaving = set(game.crew.hands), self.dice.choice(_owners(game))
            leaving.send(signal.SIGTERM)
            yield from game.wait(partial(_arrived, game, known))
            left += leaving.code == 0  # else another fault was quicker
        game.note(f"{left} workers left with exit code 0, and as many joined")


@dataclass(frozen=True)
class BrokerKill(Fault):
    """SIGKILL of the broker, and its start on the same data and address."""

    name: ClassVar[str] = "broker-kill"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game) and bool(_owners(game)))
        game.crew.excuses.append(Excuse(1))
        before = sum(game.head_numbers())
        game.bench.broker.kill()
        game.bench.broker.start()
        yield from game.wait(lambda: sum(game.head_numbers()) > before)
        game.note(f"SIGKILL of the broker after {before} shards, and its return")


def _arrived(game: Round, known: set[Hand]) -> bool:
    """Tell whether a worker that was not known owns partitions."""
    return any(hand.owned(game.layout, game.topic) for hand in game.crew.hands if hand not in known)


def _owners(game: Round) -> list[Hand]:
    """Return the running workers that own partitions."""
    return [hand for hand in game.crew.free() if hand.owned(game.layout, game.topic)]


def _overtaken(game: Round, hand: Hand, how: str) -> Steps:
    """Wait until others have committed to every partition of a stopped worker, then wake it."""
    game.crew.stops += 1
    owned = hand.owned(game.layout, game.topic)
    _must_be(bool(owned), "the stopped worker owned nothing")
    yield from game.wait(game.advanced(owned))
    _must_be(hand.stopped, "the worker did not sleep until it was overtaken")
    ran = hand.cpu_ticks()
    hand.send(signal.SIGCONT)
    yield from game.wait(lambda: hand.code is not None or hand.cpu_ticks() > ran)
    game.note(f"a worker {how}, was overtaken in partitions {sorted(owned)}, and woke")


def _must_be(true: bool, otherwise: str) -> None:
    if not true:
        raise NotStruck(otherwise)
