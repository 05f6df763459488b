"""What recovery does with what others left: damaged files, spare folders, holes, half-written manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import commit
from contracts.errors import ChainBroken, StateDamaged, StateHeld
from contracts.layout import data_name, manifest_name
from contracts.state_db import StateDB
from tests.support.commits import DATA, NAME, adder, chain_in
from tests.support.faults import full_disk


def committed(folder: Path, count: int, state: str = "state") -> None:
    with adder(folder, state) as opened:
        for _ in range(count):
            opened.add()


def stopped_after_step_2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave a pending manifest with its data file, and return the data file."""
    committed(folder, 2)

    def stop(point: str) -> None:
        if point == f"{NAME}.commit.2":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt), adder(folder) as opened:
        patched.setattr(commit, "reach", stop)
        opened.add()
    (pending,) = chain_in(folder).directory.glob(data_name(3, "*", DATA))
    return pending


@pytest.mark.parametrize("damage", ["torn", "gone"])
def test_a_pending_manifest_whose_data_file_is_damaged_is_never_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    pending = stopped_after_step_2(tmp_path, monkeypatch)
    if damage == "torn":
        pending.write_bytes(pending.read_bytes()[:-1])
    else:
        pending.unlink()
    with adder(tmp_path) as opened:
        assert (opened.number, opened.warm) == (2, False)
        opened.add()
    assert chain_in(tmp_path).verify() == 3


def test_a_pending_manifest_whose_data_file_is_whole_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after_step_2(tmp_path, monkeypatch)
    with adder(tmp_path) as opened:
        assert (opened.number, opened.warm) == (3, True)


def test_of_several_free_states_the_one_at_the_head_is_taken_and_the_others_are_deleted(tmp_path: Path) -> None:
    committed(tmp_path, 2)
    held = StateDB(tmp_path / "state")
    with adder(tmp_path) as beside:
        assert beside.committer.state.directory.name == "state-1"
        beside.add()
    held.close()
    with adder(tmp_path) as opened:
        assert (opened.committer.state.directory.name, opened.warm, opened.number) == ("state-1", True, 3)
    assert not (tmp_path / "state").exists()


def test_a_chain_that_lacks_a_manifest_in_the_middle_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    committed(tmp_path, 9)
    chain = chain_in(tmp_path)
    (chain.directory / manifest_name(7)).unlink()
    before = sorted(path.name for path in chain.directory.iterdir())
    with pytest.raises(ChainBroken, match="manifest 7"):
        commit.recover(NAME, chain, tmp_path / "state")
    assert sorted(path.name for path in chain.directory.iterdir()) == before


def test_manifests_that_never_got_their_name_are_deleted_up_to_the_head(tmp_path: Path) -> None:
    committed(tmp_path, 2)
    chain = chain_in(tmp_path)
    old, new = (chain.directory / f".{manifest_name(number)}.0123456789ab.tmp" for number in (2, 3))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    chain.remove_orphans()
    assert (old.exists(), new.exists()) == (False, True)


def flushed(folder: Path) -> list[Path]:
    state = StateDB(folder)
    state.write({b"%06d" % number: b"x" * 200 for number in range(5000)})
    state._db.flush()
    state.close()
    return sorted(folder.glob("*.sst"))


@pytest.mark.parametrize("at", [60, 400, 900])
def test_a_state_whose_files_are_damaged_at_the_end_opens_empty(tmp_path: Path, at: int) -> None:
    for table in flushed(tmp_path / "db"):
        whole = bytearray(table.read_bytes())
        whole[-at] ^= 1
        table.write_bytes(whole)
    state = StateDB(tmp_path / "db")
    try:
        assert state.empty() or state.get(b"000001") == b"x" * 200, "damage that RocksDB cannot see"
    finally:
        state.close()


def test_a_state_whose_blocks_are_damaged_is_named_and_can_be_emptied(tmp_path: Path) -> None:
    for table in flushed(tmp_path / "db"):
        whole = bytearray(table.read_bytes())
        for at in range(100, len(whole) * 2 // 3, 500):
            whole[at] ^= 1
        table.write_bytes(whole)
    state = StateDB(tmp_path / "db")
    with pytest.raises(StateDamaged):
        state.get_many([b"%06d" % number for number in range(5000)])
    state.reset()
    assert state.empty()
    with pytest.raises(StateHeld):
        StateDB(tmp_path / "db")
    state.close()


def test_a_state_that_a_full_disk_lets_nobody_close_is_free_again_and_has_lost_nothing(tmp_path: Path) -> None:
    state, entries = StateDB(tmp_path / "db"), {b"%d" % number: b"x" * 100 for number in range(1000)}
    state.write(entries)
    with full_disk(bytes_left=1000), pytest.raises(OSError, match=r"the state in .*db fails: IO error"):
        state.close()
    state = StateDB(tmp_path / "db")
    assert dict(state.scan(b"")) == entries
    state.write(entries)
    with full_disk(bytes_left=1000):
        state.discard()
    assert not (tmp_path / "db").exists()
    StateDB(tmp_path / "db").close()
