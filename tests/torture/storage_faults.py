"""Faults of disks and files: full, failing, deleted, torn."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

from contracts import shards
from contracts.crash import STOP
from tests.torture.crew import Excuse, Hand
from tests.torture.fault import Fault
from tests.torture.round import Round, Steps
from tests.torture.verdict import Broken, NotStruck

DISK = "8m"
FILE_LIMIT = 4096


@dataclass(frozen=True)
class FullDisk(Fault):
    """The disk of the shards fills up until workers fail; then space is freed and the work goes on.

    The disk is a small one in memory, which only root may mount; elsewhere files get a limit, as in `FailingWrites`.
    """

    name: ClassVar[str] = "full-disk"

    def strike(self, game: Round) -> Steps:
        folder = game.layout.root / "shards"
        if not _mounted(folder):
            yield from FailingWrites(self.at, self.seed).strike(game)
            game.note("no disk could be mounted here: the limit of a file's size stood for a full one")
            return
        game.cleanup.callback(_unmount, folder)
        yield from game.wait(lambda: self.at(game))
        game.crew.excuses.append(Excuse(1, "No space left on device"))
        ballast = folder / ".ballast"
        with ballast.open("wb", buffering=0) as file:
            yield from game.wait(lambda: _fill(file.fileno()) and _failed(game, "No space left on device"))
        ballast.unlink()
        yield from game.wait(game.advanced(set(range(game.partitions))))
        game.note("the disk was full, a worker ended with exit code 1, space came back, every partition went on")


@dataclass(frozen=True)
class FailingWrites(Fault):
    """Writes of running workers fail half-way, by a limit on the size of files that later workers do not have."""

    name: ClassVar[str] = "failing-writes"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game) and bool(game.crew.free()))
        game.crew.excuses.append(Excuse(1, "File too large"))
        for hand in game.crew.free():
            _, hard = resource.prlimit(hand.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(hand.pid, resource.RLIMIT_FSIZE, (FILE_LIMIT, hard))
        yield from game.wait(lambda: _failed(game, "File too large"))
        game.note("a write failed half-way, and a worker ended with exit code 1")


@dataclass(frozen=True)
class StateLost(Fault):
    """All state DBs are deleted while every worker is down."""

    name: ClassVar[str] = "state-lost"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        game.crew.end_all()
        folder = game.layout.stream_state(game.topic, 0).parent
        held = sum(1 for _ in folder.glob("*/*"))
        if not held:
            raise NotStruck("there was no state to delete")
        shutil.rmtree(folder)
        yield from game.wait(game.advanced(set(range(game.partitions))))
        game.note(f"the state of all partitions, {held} files, was deleted while no worker ran")


@dataclass(frozen=True)
class StateLostUnderWorker(Fault):
    """The state DBs of a worker are deleted while it runs; it is killed a shard later."""

    name: ClassVar[str] = "state-lost-under-a-worker"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game) and any(_owned(game, hand) for hand in game.crew.free()))
        hand = self.dice.choice([hand for hand in game.crew.free() if _owned(game, hand)])
        game.crew.excuses.append(Excuse(1, only=hand))
        owned = _owned(game, hand)
        for partition in owned:
            _delete(game.layout.stream_state(game.topic, partition))
        moved = [game.advanced({partition}) for partition in owned]
        yield from game.wait(lambda: hand.code is not None or any(condition() for condition in moved))
        if hand.code is None:
            hand.send(signal.SIGKILL)
        yield from game.wait(lambda: hand.code is not None)
        game.note(f"the state of partitions {sorted(owned)} was deleted under their worker, which ended by {hand.code}")


@dataclass(frozen=True)
class TornFile(Fault):
    """Data files that no manifest names yet are cut or flipped while their worker dies at a step of the commit."""

    name: ClassVar[str] = "torn-file"
    point: str
    nth: int

    def strike(self, game: Round) -> Steps:
        torn: list[Path] = []
        while not torn:
            arm = game.crew.arm(f"{STOP}{self.point}@{self.nth}")
            yield from game.wait(lambda arm=arm: arm.stopped() or arm.over())  # type: ignore[misc]
            if arm.stopped():
                torn = self._tear(game, arm.taker)
                arm.taker.send(signal.SIGKILL)
                yield from game.wait(arm.over)
        names = ", ".join(path.name for path in torn)
        game.note(f"{names}: torn after {self.point}, and the worker killed")

    def _tear(self, game: Round, hand: Hand) -> list[Path]:
        """Damage the data files that the stopped worker is about to commit; return them: a shard may have none."""
        found: list[Path] = []
        for partition in sorted(_owned(game, hand)):
            chain = shards.chain(game.layout, game.topic, partition)
            found += sorted(chain.directory.glob(f"{chain.head_number() + 1:020d}-*"))
        dice, torn = self.dice, [path for path in found if path.stat().st_size]
        for path in torn:
            _damage(path, dice)
        return torn


@dataclass(frozen=True)
class TornShard(Fault):
    """A committed data file is damaged after the work is done: `streams inspect --verify` refuses it by its name."""

    name: ClassVar[str] = "torn-shard"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game) and game.complete())
        chains = [shards.chain(game.layout, game.topic, partition) for partition in range(game.partitions)]
        files = [chain.directory / file.name for chain in chains for entry in chain.entries() for file in entry.files]
        path = self.dice.choice(files)
        whole = path.read_bytes()
        _damage(path, self.dice)
        said = game.command("inspect", "--verify")
        path.write_bytes(whole)
        words = "".join((said.stdout + said.stderr).split())  # a table may break a name
        if said.returncode != 1 or path.name not in words:
            raise Broken(f"{path.name} is damaged, and verify ended with {said.returncode}: {said.stdout}{said.stderr}")
        again = game.command("inspect", "--verify")
        if again.returncode:
            raise Broken(f"verify refuses whole shards: {again.stderr}")
        game.note(f"{path.name} was damaged, refused by its name, and put back")


def _damage(path: Path, dice: Random) -> None:
    """Cut a file, or flip one bit of it."""
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    if dice.random() < 0.5:
        path.write_bytes(data[:at])
    else:
        data[at] ^= 1 << dice.randrange(8)
        path.write_bytes(data)


def _owned(game: Round, hand: Hand) -> set[int]:
    return hand.owned(game.layout, game.topic)


def _failed(game: Round, words: str) -> bool:
    return any(hand.code == 1 and words in hand.text() for hand in game.crew.gone)


def _mounted(folder: Path) -> bool:
    """Mount a small disk of memory on `folder`; False where that is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _unmount(folder: Path) -> None:
    """Put the shards onto the real disk, where they can be judged and kept."""
    kept = folder.with_name("shards-of-the-disk")
    shutil.copytree(folder, kept)
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)
    folder.rmdir()
    kept.rename(folder)


def _fill(descriptor: int) -> bool:
    """Write until nothing fits; workers may have freed a little since the last time."""
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"x" * 4096)
    return True


def _delete(folder: Path) -> None:
    """Delete a folder in which somebody goes on writing."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
