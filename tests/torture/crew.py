"""The workers of a round and their supervisor: it starts again what has ended, and asks why it did."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contracts.crash import STOP
from contracts.layout import Layout
from tests.support.workers import Worker
from tests.torture.verdict import Broken, NotStruck


@dataclass(eq=False)
class Hand:
    """One worker process.

    `armed`: what it was told to crash at; `sent`: the signal by which a fault ended it; `ready`: it was seen to own
    partitions.
    """

    worker: Worker
    armed: str
    sent: signal.Signals | None = None
    ready: bool = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self.worker.process.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        return self.worker.process.poll()

    @property
    def crashed(self) -> bool:
        """Whether it has killed itself where it was told to."""
        return bool(self.armed) and self.code == -signal.SIGKILL and self.sent is None

    @property
    def stopped(self) -> bool:
        """Whether the process is stopped by a signal."""
        return self.code is None and _stat(self.pid)[0] == "T"

    def cpu_ticks(self) -> int:
        """Return how long the process has run on a processor."""
        return sum(int(field) for field in _stat(self.pid)[11:13])

    def text(self) -> str:
        """Return what the process has said."""
        return self.worker.log.read_text(errors="replace")

    def owned(self, layout: Layout, topic: str) -> set[int]:
        """Return the partitions whose state the process holds open."""
        parent = str(layout.stream_state(topic, 0).parent) + os.sep
        found = set()
        for link in Path(f"/proc/{self.pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue  # closed meanwhile
            if target.startswith(parent):
                found.add(int(target.removeprefix(parent).removeprefix(".")[:5]))  # the DB, or its lock
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL and SIGTERM are noted as what ended it."""
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.sent = number
        os.kill(self.pid, number)


@dataclass(frozen=True)
class Excuse:
    """An end of a worker that a fault explains: this exit code, with these words in its log; `only`: of this worker."""

    code: int
    words: str = ""
    only: Hand | None = None

    def covers(self, hand: Hand) -> bool:
        """Tell whether this worker has ended so."""
        return self.only in (None, hand) and hand.code == self.code and self.words in hand.text()


@dataclass(eq=False)
class Arm:
    """An order to the next worker that is started: crash (or stop) at this point; "" is no order."""

    crash_at: str
    hand: Hand | None = None

    @property
    def taker(self) -> Hand:
        """The worker that got the order."""
        if self.hand is None:
            raise NotStruck(f"no worker has taken the order to crash at {self.crash_at}")
        return self.hand

    def stopped(self) -> bool:
        """Tell whether the worker has got the order and is stopped."""
        return self.hand is not None and self.hand.stopped

    def over(self, by_itself: bool = False) -> bool:
        """Tell whether the worker has got the order and ended; `by_itself`: as it was ordered to."""
        return self.hand is not None and self.hand.code is not None and (self.hand.crashed or not by_itself)


@dataclass(eq=False)
class Crew:
    """Keeps `size` workers running unless `held`. An end that nothing explains breaks the round."""

    start: Callable[[str], Worker]
    size: int
    held: bool = False
    hands: list[Hand] = field(default_factory=list)
    gone: list[Hand] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)
    stops: int = 0
    _arms: deque[Arm] = field(default_factory=deque)

    def arm(self, crash_at: str) -> Arm:
        """Have a worker that is started later crash at a point; one order a worker."""
        arm = Arm(crash_at)
        self._arms.append(arm)
        return arm

    def unready(self, layout: Layout, topic: str) -> bool:
        """Tell whether an order to crash waits for its worker, or that worker for its first partition."""
        for hand in [hand for hand in self.hands if hand.armed and not hand.ready]:
            hand.ready = bool(hand.owned(layout, topic))
        return bool(self._arms) or not all(hand.ready for hand in self.hands if hand.armed)

    def fill(self) -> None:
        """Start workers until there are enough."""
        while not self.held and len(self.hands) < self.size:
            arm = self._arms.popleft() if self._arms else Arm("")
            arm.hand = Hand(self.start(arm.crash_at), arm.crash_at)
            self.hands.append(arm.hand)

    def look(self) -> None:
        """Take note of the workers that have ended. Raises `Broken` for an end that nothing explains."""
        for hand in [hand for hand in self.hands if hand.code is not None]:
            self.hands.remove(hand)
            self.gone.append(hand)
            if not self._explained(hand):
                raise Broken(
                    f"a worker ended with exit code {hand.code}, which no fault explains:\n{hand.text()[-3000:]}"
                )

    def free(self) -> list[Hand]:
        """Return the workers that run, wait for no crash of their own and were not told to end."""
        unmarked = [hand for hand in self.hands if not hand.armed and hand.sent is None]
        return [hand for hand in unmarked if hand.code is None and not hand.stopped]

    def end_all(self) -> None:
        """SIGKILL every worker; returns when they are gone."""
        for hand in self.hands:
            hand.sent = signal.SIGKILL
            hand.worker.kill()
        self.gone += self.hands
        self.hands.clear()

    @property
    def kills(self) -> int:
        """How many workers were killed or stopped by faults so far."""
        return self.stops + sum(1 for hand in self.gone if hand.code == -signal.SIGKILL)

    def _explained(self, hand: Hand) -> bool:
        if hand.sent is signal.SIGTERM:
            return hand.code == 0
        if hand.sent is signal.SIGKILL or (hand.crashed and not hand.armed.startswith(STOP)):
            return True
        return any(excuse.covers(hand) for excuse in self.excuses)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: the state first; "X" for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", *["0"] * 20]
