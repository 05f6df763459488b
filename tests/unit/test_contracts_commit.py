"""Commit and recover: a kill between any two steps leaves a state from which the next owner arrives at the same end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts import commit
from contracts.chain import Chain, Entry
from contracts.crash import VARIABLE
from contracts.errors import ChainTaken
from contracts.state_db import StateDB
from tests.support.commits import DATA, NAME, SCHEMA, Total, adder, chain_in, main
from tests.support.faults import failing_fsync

REPOSITORY = Path(__file__).parents[2]
UNTIL = 7
POINTS = [f"{NAME}.commit.{step}" for step in range(5)]


def run(folder: Path, until: int, crash_at: str = "") -> int:
    """Run the adder in a process of its own; return its exit code, negative for the signal that ended it."""
    environment = {**os.environ, VARIABLE: crash_at}
    command = [sys.executable, "-m", "tests.support.commits", str(folder), str(until)]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


def ending(folder: Path) -> tuple[object, ...]:
    """All that may matter to anybody later: the state, and the chain but for the random part of its file names."""
    with adder(folder) as opened:
        assert opened.warm
        chain = opened.committer.chain
        assert chain.verify() == opened.number
        contents = [(entry.number, entry.body, chain.data(entry, DATA)) for entry in chain.entries()]
        return opened.state, contents


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("undisturbed")
    main(folder, UNTIL)
    return ending(folder)


@pytest.mark.parametrize("time", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_between_any_two_steps_changes_nothing_in_the_end(
    tmp_path: Path, undisturbed: tuple[object, ...], point: str, time: int
) -> None:
    assert run(tmp_path, UNTIL, f"{point}@{time}") == -signal.SIGKILL
    step, committed = int(point[-1]), time - 1
    chain = chain_in(tmp_path)
    assert chain.head_number() == committed + (step >= 3)
    with adder(tmp_path) as opened:
        assert opened.warm == (committed > 0 or step >= 2)
        assert opened.number == committed + (step >= 2)  # after step 2 recovery creates the pending manifest
        assert opened.total == sum(n**2 for n in range(opened.number + 1))
        assert chain.remove_orphans() == []  # a file numbered above the head is left
    main(tmp_path, UNTIL)
    assert ending(tmp_path) == undisturbed
    assert len(chain.remove_orphans()) == (step == 1)
    assert ending(tmp_path) == undisturbed


def test_kills_at_every_step_one_after_the_other_change_nothing_in_the_end(
    tmp_path: Path, undisturbed: tuple[object, ...]
) -> None:
    for point in (*POINTS, *POINTS):
        assert run(tmp_path, UNTIL, point) == -signal.SIGKILL
    assert chain_in(tmp_path).head_number() == 6  # each kill after step 2 or later costs nothing
    main(tmp_path, UNTIL)
    assert ending(tmp_path) == undisturbed


def test_a_process_that_is_not_told_to_crash_ends_by_itself(tmp_path: Path) -> None:
    assert run(tmp_path, 2) == 0
    assert run(tmp_path, 3, f"{NAME}.commit.9") == 0
    assert chain_in(tmp_path).verify() == 3


def test_a_state_at_the_head_is_warm(tmp_path: Path) -> None:
    main(tmp_path, 2)
    with adder(tmp_path) as opened:
        assert (opened.warm, opened.number, opened.total) == (True, 2, 5)


def test_a_first_owner_is_cold_and_has_an_empty_state(tmp_path: Path) -> None:
    with adder(tmp_path) as opened:
        assert (opened.warm, opened.number, opened.state) == (False, 0, {})


def test_a_deleted_state_is_rebuilt_from_the_chain(tmp_path: Path, undisturbed: tuple[object, ...]) -> None:
    main(tmp_path, 3)
    StateDB.drop(tmp_path / "state")
    with adder(tmp_path) as opened:
        assert not opened.warm
        opened.add()
    main(tmp_path, UNTIL)
    assert ending(tmp_path) == undisturbed


def test_a_state_behind_the_head_is_dropped(tmp_path: Path) -> None:
    main(tmp_path, 2)
    with adder(tmp_path, "elsewhere") as other:
        other.add()
    committer, warm = commit.recover(NAME, chain_in(tmp_path), tmp_path / "state")
    assert not warm
    assert list(committer.state.scan(b"")) == []
    assert committer.head is not None
    assert committer.head.number == 3
    committer.state.close()


def test_a_state_two_steps_ahead_of_the_head_is_dropped(tmp_path: Path) -> None:
    main(tmp_path, 3)
    for entry in [chain_in(tmp_path).read(number) for number in (2, 3)]:
        (chain_in(tmp_path).directory / f"{entry.number:020d}.json").unlink()
    committer, warm = commit.recover(NAME, chain_in(tmp_path), tmp_path / "state")
    assert (warm, list(committer.state.scan(b""))) == (False, [])
    assert committer.head is not None
    assert committer.head.number == 1
    committer.state.close()


def test_a_pending_manifest_of_another_branch_is_dropped(tmp_path: Path) -> None:
    main(tmp_path, 1)
    chain = chain_in(tmp_path)
    first = chain.read(1)
    (chain.directory / "00000000000000000001.json").unlink()
    mine = chain.prepare(first, Total(5), {})
    with adder(tmp_path, "elsewhere") as other:
        other.committer.commit(Total(77), {}, [])
    state = StateDB(tmp_path / "state")
    state.write({b"!at": mine.digest.encode(), b"!pending": mine.data})
    state.close()
    committer, warm = commit.recover(NAME, chain, tmp_path / "state")
    assert (warm, list(committer.state.scan(b"")), chain.head_number()) == (False, [], 1)
    committer.state.close()


@pytest.mark.parametrize("pending", [b"", b"torn", b'{"seal":"'])
def test_a_pending_manifest_that_cannot_be_read_is_dropped_with_its_state(tmp_path: Path, pending: bytes) -> None:
    main(tmp_path, 1)
    state = StateDB(tmp_path / "state")
    state.write({b"!at": b"another digest", b"!pending": pending})
    state.close()
    with adder(tmp_path) as opened:
        assert (opened.warm, opened.number, opened.total) == (False, 1, 1)


class Outrun(Chain[Total]):
    """A chain whose owner sleeps before it creates, while `meanwhile` happens."""

    meanwhile: Callable[[], None]

    def create(self, entry: Entry[Total]) -> None:
        self.meanwhile()
        super().create(entry)


def outrun(folder: Path, meanwhile: Callable[[], None]) -> Outrun:
    chain = Outrun(folder / "chain", SCHEMA, Total)
    chain.meanwhile = meanwhile
    return chain


def test_a_writer_that_slept_while_another_took_over_learns_it_and_leaves_an_orphan(tmp_path: Path) -> None:
    main(tmp_path, 2)

    def take_over() -> None:
        with adder(tmp_path, "elsewhere") as other:
            assert not other.warm
            other.add()

    with adder(tmp_path) as sleeper:
        sleeper.committer.chain = outrun(tmp_path, take_over)
        with pytest.raises(ChainTaken):
            sleeper.add()
    chain = chain_in(tmp_path)
    named = {file.name for entry in chain.entries() for file in entry.files}
    left = {path.name for path in chain.directory.glob("*-*")} - named
    assert chain.verify() == 3
    assert chain.remove_orphans() == sorted(left)
    assert len(left) == 1
    with adder(tmp_path) as awake:
        assert (awake.warm, awake.number, awake.total) == (False, 3, 14)
        awake.add()
    assert chain.verify() == 4


def test_a_roll_forward_that_is_outrun_drops_the_state(tmp_path: Path) -> None:
    assert run(tmp_path, 2, f"{NAME}.commit.2@2") == -signal.SIGKILL

    def take_over() -> None:
        with adder(tmp_path, "elsewhere") as other:
            other.add()

    committer, warm = commit.recover(NAME, outrun(tmp_path, take_over), tmp_path / "state")
    assert (warm, list(committer.state.scan(b""))) == (False, [])
    assert committer.head == chain_in(tmp_path).read(2)
    committer.state.close()


@pytest.mark.parametrize("succeeding", range(4))
def test_a_disk_that_fails_within_a_commit_leaves_what_recovers(
    tmp_path: Path, undisturbed: tuple[object, ...], succeeding: int
) -> None:
    main(tmp_path, 2)
    with adder(tmp_path) as opened, failing_fsync(after=succeeding), pytest.raises(OSError, match="No space left"):
        opened.add()
    main(tmp_path, UNTIL)
    assert ending(tmp_path) == undisturbed


def test_a_hint_that_cannot_be_told_loses_nothing(tmp_path: Path, undisturbed: tuple[object, ...]) -> None:
    def broken() -> None:
        raise ConnectionError("the broker is gone")

    with adder(tmp_path) as opened, pytest.raises(ConnectionError):
        opened.committer.commit(Total(1), {DATA: b"1 squared"}, [{b"total": b"1", b"term/1": b"1"}], broken)
    main(tmp_path, UNTIL)
    assert ending(tmp_path) == undisturbed


def test_a_state_that_another_process_holds_is_left_to_it_and_a_new_one_begun_beside_it(tmp_path: Path) -> None:
    chain = chain_in(tmp_path)
    asleep, _ = commit.recover(NAME, chain, tmp_path / "state")
    asleep.commit(Total(1), {}, [{b"k": b"v"}])
    owner, warm = commit.recover(NAME, chain, tmp_path / "state")
    assert not warm
    assert owner.state.directory != asleep.state.directory
    owner.commit(Total(2), {}, [])
    with pytest.raises(ChainTaken):
        asleep.commit(Total(3), {}, [])


def test_a_damaged_state_is_begun_anew(tmp_path: Path) -> None:
    chain = chain_in(tmp_path)
    first, _ = commit.recover(NAME, chain, tmp_path / "state")
    first.commit(Total(1), {}, [{b"k": b"v"}])
    first.state.close()
    for path in (tmp_path / "state").glob("MANIFEST-*"):
        path.write_bytes(b"rubbish" * 100)
    again, warm = commit.recover(NAME, chain, tmp_path / "state")
    assert not warm
    assert again.head is not None
    assert again.state.get(b"k") is None
