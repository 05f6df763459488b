"""The chain: one winner for each number, and every way of breaking it is found."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from contracts import sealed
from contracts.chain import Chain, Entry
from contracts.errors import ChainBroken, ChainTaken, Corrupt
from contracts.layout import data_name, manifest_name
from tests.support import racer
from tests.support.commits import DATA, SCHEMA, Total
from tests.support.faults import failing_fsync

REPOSITORY = Path(__file__).parents[2]


def empty(folder: Path) -> Chain[Total]:
    return Chain(folder / "chain", SCHEMA, Total)


def filled(folder: Path, count: int) -> Chain[Total]:
    """A chain of `count` manifests, each with a data file."""
    chain, head = empty(folder), None
    for number in range(1, count + 1):
        head = committed(chain, head, number)
    return chain


def committed(chain: Chain[Total], head: Entry[Total] | None, total: int) -> Entry[Total]:
    entry = chain.prepare(head, Total(total), {DATA: b"%d" % total})
    chain.create(entry)
    return entry


def rewritten(chain: Chain[Total], number: int, **fields: object) -> bytes:
    """Manifest `number` with other fields and a seal that fits: what damage cannot do, and a person can."""
    document, _ = sealed.unseal(chain.read(number).data, "it")
    return sealed.seal(msgspec.json.encode({**json.loads(document), **fields}))


@contextlib.contextmanager
def racing(folder: Path, who: str, numbers: int) -> Iterator[subprocess.Popen[str]]:
    """A racer that waits for its start; it does not outlive the test."""
    command = [sys.executable, "-m", "tests.support.racer", str(folder), who, str(numbers)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def test_of_processes_that_race_for_a_number_exactly_one_wins(tmp_path: Path) -> None:
    racers, numbers = 4, 25
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(racing(tmp_path, f"racer-{n}", numbers)) for n in range(racers)]
        assert [stream(process.stdout).readline() for process in processes] == ["ready\n"] * racers
        for process in processes:
            stream(process.stdin).write("go\n")
            stream(process.stdin).flush()
        results = [json.loads(process.communicate()[0]) for process in processes]
    won = {number: f"racer-{n}" for n, numbers_won in enumerate(results) for number in numbers_won}
    assert sum(map(len, results)) == numbers
    chain = racer.chain_in(tmp_path)
    assert chain.verify() == numbers
    assert {entry.number: entry.body.who for entry in chain.entries()} == won
    assert not list(chain.directory.glob(".*"))
    orphans = chain.remove_orphans()
    assert len(orphans) == (racers - 1) * numbers
    assert chain.verify() == numbers


def test_creating_the_same_manifest_again_is_success(tmp_path: Path) -> None:
    chain = filled(tmp_path, 1)
    entry = chain.prepare(chain.head(), Total(2), {})
    chain.create(entry)
    empty(tmp_path).create(entry)
    assert chain.verify() == 2


def test_creating_another_manifest_of_a_taken_number_is_refused_with_a_hint(tmp_path: Path) -> None:
    chain = filled(tmp_path, 1)
    mine, theirs = (chain.prepare(chain.head(), Total(total), {}) for total in (2, 3))
    chain.create(theirs)
    with pytest.raises(ChainTaken, match="manifest 2 of") as error:
        chain.create(mine)
    assert error.value.hint
    head = chain.head()
    assert head is not None
    assert head.body == Total(3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 30])
def test_the_head_is_found_by_probing_from_any_number_that_exists(tmp_path: Path, count: int) -> None:
    chain = empty(tmp_path)
    chain.directory.mkdir()
    for number in range(1, count + 1):
        (chain.directory / manifest_name(number)).touch()
    assert {chain.head_number(known) for known in range(count + 1)} == {count}


def test_the_head_of_a_chain_is_its_newest_manifest_and_of_an_empty_one_nothing(tmp_path: Path) -> None:
    assert empty(tmp_path).head() is None
    assert list(empty(tmp_path).entries()) == []
    assert empty(tmp_path).verify() == 0
    chain = filled(tmp_path, 5)
    assert chain.head() == chain.head(3) == chain.read(5)
    assert [entry.number for entry in chain.entries(after=3)] == [4, 5]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
def test_the_first_manifest_that_reached_a_goal_is_found_and_one_past_the_head_where_none_did(
    tmp_path: Path, count: int
) -> None:
    chain = filled(tmp_path, count)
    totals = [entry.body.total for entry in chain.entries()]
    for goal in range(max(totals, default=0) + 2):
        walked = next((at for at, total in enumerate(totals, start=1) if total >= goal), count + 1)
        assert chain.first_that_reached(goal, lambda body: body.total) == walked


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_gap_is_found(tmp_path: Path, missing: int) -> None:
    chain = filled(tmp_path, 5)
    (chain.directory / manifest_name(missing)).unlink()
    with pytest.raises(ChainBroken, match=f"manifest {missing} of .* is missing"):
        chain.verify()


@pytest.mark.parametrize("changed", [1, 2, 3])
def test_a_manifest_replaced_by_another_whole_one_breaks_the_chain_after_it(tmp_path: Path, changed: int) -> None:
    chain = filled(tmp_path, 4)
    (chain.directory / manifest_name(changed)).write_bytes(rewritten(chain, changed, body={"total": 99}))
    with pytest.raises(ChainBroken, match=f"manifest {changed + 1} of .* does not follow"):
        chain.verify()


def test_a_fork_is_found(tmp_path: Path) -> None:
    chain = filled(tmp_path, 3)
    other = chain.prepare(chain.read(1), Total(7), {})
    beyond = chain.prepare(other, Total(8), {})
    (chain.directory / manifest_name(3)).write_bytes(beyond.data)
    with pytest.raises(ChainBroken, match=r"manifest 3 of .* does not follow"):
        chain.verify()


def test_a_manifest_under_the_name_of_another_is_found(tmp_path: Path) -> None:
    chain = filled(tmp_path, 3)
    (chain.directory / manifest_name(4)).write_bytes(chain.read(3).data)
    for look in (chain.verify, chain.head):
        with pytest.raises(ChainBroken, match="holds manifest 3, not 4"):
            look()


def test_a_first_manifest_with_a_parent_is_found(tmp_path: Path) -> None:
    chain = filled(tmp_path, 1)
    (chain.directory / manifest_name(1)).write_bytes(rewritten(chain, 1, parent="ab" * 32))
    with pytest.raises(ChainBroken, match=r"manifest 1 of .* does not follow"):
        chain.verify()


def test_a_flipped_byte_of_a_manifest_is_found(tmp_path: Path) -> None:
    chain = filled(tmp_path, 3)
    path = chain.directory / manifest_name(2)
    path.write_bytes(path.read_bytes().replace(b'"total":2', b'"total":3'))
    with pytest.raises(Corrupt, match=r"2\.json is damaged at its seal"):
        chain.verify()


def test_a_missing_data_file_is_found(tmp_path: Path) -> None:
    chain = filled(tmp_path, 3)
    (chain.directory / chain.read(2).files[0].name).unlink()
    with pytest.raises(ChainBroken, match=r"data file .* is missing"):
        chain.verify()
    assert chain.verify(deep=False) == 3


def test_a_flipped_byte_of_a_data_file_is_found(tmp_path: Path) -> None:
    chain = filled(tmp_path, 3)
    (chain.directory / chain.read(2).files[0].name).write_bytes(b"3")
    with pytest.raises(Corrupt, match="its digest"):
        chain.verify()


def test_orphans_up_to_the_head_are_deleted_and_later_ones_are_left_to_their_writer(tmp_path: Path) -> None:
    chain = filled(tmp_path, 2)
    head = chain.head()
    old, at_head, above = (data_name(number, "abcdef012345", DATA) for number in (1, 2, 3))
    for name in (old, at_head, above, "README-by-hand.txt"):
        (chain.directory / name).write_bytes(b"")
    sleeping = chain.prepare(head, Total(3), {DATA: b"3"})
    assert chain.remove_orphans() == [old, at_head]
    assert chain.verify() == 2
    chain.create(sleeping)
    assert chain.verify() == 3
    assert chain.remove_orphans() == [above]
    assert (chain.directory / "README-by-hand.txt").exists()
    assert chain.remove_orphans() == []


def test_an_empty_chain_has_no_orphans(tmp_path: Path) -> None:
    chain = empty(tmp_path)
    assert chain.remove_orphans() == []
    chain.prepare(None, Total(1), {DATA: b"1"})
    assert chain.remove_orphans() == []


@pytest.mark.parametrize("succeeding", range(5))
def test_a_failing_disk_leaves_no_manifest_and_no_part_of_one(tmp_path: Path, succeeding: int) -> None:
    chain = filled(tmp_path, 1)
    before = {path.name for path in chain.directory.iterdir()}
    with failing_fsync(after=succeeding), pytest.raises(OSError, match="No space left"):
        committed(chain, chain.head(), 2)  # fsync: data file, directory, temporary manifest, directory
        committed(chain, chain.head(), 3)
    left = {path.name for path in chain.directory.iterdir()} - before
    assert not [name for name in left if name.startswith(".")]
    assert chain.verify() == (2 if succeeding > 2 else 1)
