"""`freshet doctor` in a run folder: each thing is broken for real, and it says what broke and what to do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts import deltas, served, shards
from contracts.bases import MANIFEST, USERS, OpenBase
from contracts.layout import Layout, manifest_name
from tests.support.bases import CUT
from tests.support.checked import doctor, installation, printed, write_shards
from tests.support.faults import failing_fsync, full_disk
from tests.support.source_tree import ROOT as CHECKOUT

FILES = "chains,bases,served"
HOUR = 3_600_000


@pytest.fixture
def base(tmp_path: Path) -> OpenBase:
    return installation(tmp_path)


def first_data_file(layout: Layout) -> Path:
    chain = shards.chain(layout, "events", 0)
    return chain.directory / chain.read(1).files[0].name


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in files}


def test_of_a_whole_run_folder_nothing_is_wrong_and_nothing_is_changed(tmp_path: Path, base: OpenBase) -> None:
    before, modes = snapshot(tmp_path), sorted(tmp_path.rglob("*"))
    told = doctor(tmp_path, "--deep")
    assert (told.code, told.of("fault"), told.of("warning")) == (0, [], [])
    assert {group for group, _, _ in told.of("ok")} >= {"disk", "clocks", "chains", "bases", "served", "digests"}
    assert (snapshot(tmp_path), sorted(tmp_path.rglob("*"))) == (before, modes)


def test_a_run_folder_that_is_not_there_yet_is_no_fault_and_is_not_made(tmp_path: Path) -> None:
    told = doctor(tmp_path / "run", "--only", "disk,clocks,chains,bases,served,state")
    assert (told.code, told.of("fault"), told.of("warning"), told.of("ok")) == (0, [], [], [])
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_is_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    told = doctor(tmp_path / "run", "--only", "disk")
    assert (told.code, told.only("fault")["found"]) == (2, f"{tmp_path / 'run'} is no folder")


def test_a_manifest_that_was_deleted_is_named(tmp_path: Path, base: OpenBase) -> None:
    chain = shards.chain(Layout(tmp_path), "events", 1)
    newest = chain.head_number()
    (chain.directory / manifest_name(newest - 1)).unlink()
    told = doctor(tmp_path, "--only", "chains")
    line = told.only("fault")
    assert (told.code, line["what"]) == (1, "shards of events, partition 1")
    assert line["found"] == f"manifest {newest - 1} of {chain.directory} is missing: its newest is {newest}"
    assert "freshet streams replay --from-kafka --topic events" in line["remedy"]


def test_a_flipped_byte_in_a_manifest_is_named(tmp_path: Path, base: OpenBase) -> None:
    path = served.chain(Layout(tmp_path)).directory / manifest_name(1)
    flip(path)
    told = doctor(tmp_path, "--only", "chains")
    assert (told.code, told.only("fault")["found"]) == (1, f"{path} is damaged at its seal")


def test_a_manifest_of_another_chain_does_not_follow(tmp_path: Path, base: OpenBase) -> None:
    one, other = (shards.chain(Layout(tmp_path), "events", partition).directory for partition in (0, 1))
    shutil.copy(other / manifest_name(2), one / manifest_name(2))
    told = doctor(tmp_path, "--only", "chains")
    assert (told.code, told.only("fault")["found"]) == (
        1,
        f"manifest 2 of {one} does not follow the one before it",
    )


def test_a_data_file_that_is_cut_is_named_without_reading_it(tmp_path: Path, base: OpenBase) -> None:
    path = first_data_file(Layout(tmp_path))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    told = doctor(tmp_path, "--only", "chains")
    assert told.code == 1
    assert told.only("fault")["found"] == f"data file {path} of manifest 1 is {size - 1} bytes, and not {size}"


def test_a_data_file_that_is_missing_is_named(tmp_path: Path, base: OpenBase) -> None:
    path = first_data_file(Layout(tmp_path))
    path.unlink()
    told = doctor(tmp_path, "--only", "chains")
    assert (told.code, told.only("fault")["found"]) == (1, f"data file {path} of manifest 1 is missing")


def test_a_flipped_byte_in_a_data_file_is_found_by_deep_alone(tmp_path: Path, base: OpenBase) -> None:
    path = first_data_file(Layout(tmp_path))
    flip(path)
    assert doctor(tmp_path, "--only", FILES).code == 0
    told = doctor(tmp_path, "--only", FILES, "--deep")
    line = told.only("fault")
    assert (told.code, line["group"]) == (1, "digests")
    assert line["found"].startswith(f"{path} is damaged at its digest")


def test_a_flipped_byte_in_a_base_is_found_by_deep_alone(tmp_path: Path, base: OpenBase) -> None:
    flip(Layout(tmp_path).base("tiny") / USERS)
    assert doctor(tmp_path, "--only", FILES).code == 0
    told = doctor(tmp_path, "--only", FILES, "--deep")
    assert (told.code, told.only("fault")["what"]) == (1, "tiny")


@pytest.mark.parametrize("name", [MANIFEST, USERS])
def test_a_base_that_lacks_a_file_is_a_fault_and_so_is_what_is_served_of_it(
    tmp_path: Path, base: OpenBase, name: str
) -> None:
    path = Layout(tmp_path).base("tiny") / name
    path.unlink()
    told = doctor(tmp_path, "--only", FILES)
    assert {(group, what) for group, what, _ in told.of("fault")} == {("bases", "tiny"), ("served", "version 1")}
    assert str(path) in told.of("fault")[0][2]


def test_a_base_that_is_gone_is_missed_by_what_is_served_and_by_its_deltas(tmp_path: Path, base: OpenBase) -> None:
    layout = Layout(tmp_path)
    shutil.rmtree(layout.base("tiny"))
    told = doctor(tmp_path, "--only", FILES)
    assert (told.code, told.only("fault")["found"]) == (2, f"no base 'tiny' under {layout.bases()}")
    assert "freshet publish rollback" in told.only("fault")["remedy"]
    folder = layout.deltas("tiny", 0).parent
    assert told.only("warning")["found"] == f"deltas of a base that is gone: {folder}"
    assert f"rm -r {folder}" in told.only("warning")["remedy"]


def test_what_killed_runs_left_is_named_with_what_to_do(tmp_path: Path, base: OpenBase) -> None:
    layout = Layout(tmp_path)
    layout.base("tiny").rename(layout.retired_base("tiny", "x"))
    old = layout.unfinished_base("other", "y")
    old.mkdir()
    os.utime(old, (1, 1))
    layout.shuffled_day("young", "z").mkdir()
    told = doctor(tmp_path, "--only", "bases")
    assert [found for _, _, found in told.of("warning")] == [
        "a retrain that was killed left it",
        "a base that was being deleted",
    ]


def test_a_served_delta_that_is_another_one_by_now_is_a_fault(tmp_path: Path, base: OpenBase) -> None:
    chain = deltas.chain(Layout(tmp_path), "tiny", 0)
    body = chain.read(1).body
    (chain.directory / manifest_name(1)).unlink()
    chain.create(chain.prepare(None, body, {}))
    told = doctor(tmp_path, "--only", "served")
    line = told.only("fault")
    assert (told.code, line["what"]) == (1, "deltas served, partition 0")
    assert line["found"] == "delta 1 is another one than was published"


def test_a_vector_store_that_is_gone_is_a_fault_where_something_is_served(tmp_path: Path, base: OpenBase) -> None:
    store = Layout(tmp_path).item_store()
    store.rmdir()
    told = doctor(tmp_path, "--only", "served")
    assert told.code == 1
    assert told.only("fault")["found"] == f"{store} is gone: exact search answers in its place, slowly"
    assert "freshet publish once" in told.only("fault")["remedy"]
    assert not store.exists()


@pytest.mark.parametrize(("ahead", "code", "verdict"), [(2 * HOUR, 2, "fault"), (HOUR // 6, 0, "warning")])
def test_shards_from_the_future_are_told_with_both_clocks(tmp_path: Path, ahead: int, code: int, verdict: str) -> None:
    write_shards(Layout(tmp_path), time.time_ns() // 1_000_000 + ahead)
    told = doctor(tmp_path, "--only", "clocks")
    assert told.code == code
    assert "AHEAD of now: the clock of this machine is behind, or" in told.only(verdict)["found"]
    assert "date -u" in told.only(verdict)["remedy"]


def test_old_shards_are_no_fault_of_a_clock(tmp_path: Path) -> None:
    write_shards(Layout(tmp_path), CUT)
    told = doctor(tmp_path, "--only", "clocks")
    assert (told.code, [line["verdict"] for line in told.lines]) == (0, ["ok"])


@contextmanager
def as_a_user_without_rights() -> Iterator[None]:
    """Root may write anywhere; for as long as the block lasts, this process may not."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_a_folder_that_may_not_be_written_is_a_fault_that_a_person_mends() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o555)
        with as_a_user_without_rights():
            told = doctor(root, "--only", "disk")
    line = told.only("fault")
    assert (told.code, line["what"]) == (2, "commit")
    assert line["found"].startswith("nothing can be written:") and "Permission denied" in line["found"]
    assert line["remedy"] == "Let the user who runs Freshet write there, or name another --root."


def test_a_disk_on_which_nothing_more_fits_is_a_failed_machine(tmp_path: Path) -> None:
    with full_disk():
        told = doctor(tmp_path, "--only", "disk")
    assert told.code == 1
    assert "File too large" in told.only("fault")["found"]
    assert "freshet publish retire" in told.only("fault")["remedy"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after", [0, 1])
def test_a_disk_that_cannot_fsync_is_a_failed_machine_and_keeps_no_probe(tmp_path: Path, after: int) -> None:
    with failing_fsync(after):
        told = doctor(tmp_path, "--only", "disk")
    assert told.code == 1
    assert "No space left on device" in told.only("fault")["found"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_hard_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)
    told = doctor(tmp_path, "--only", "disk")
    assert (told.code, told.only("fault")["found"]) == (2, "no hard link can be made: Operation not permitted")


def test_a_disk_whose_links_overwrite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", shutil.copy)
    told = doctor(tmp_path, "--only", "disk")
    assert told.code == 2
    assert told.only("fault")["found"] == "a name could be created twice: two processes could own one chain"


@pytest.mark.parametrize(("free", "code", "verdict"), [(1 << 20, 1, "fault"), (1 << 30, 0, "warning")])
def test_a_disk_that_is_nearly_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, code: int, verdict: str
) -> None:
    values = list(os.statvfs(tmp_path))
    values[1], values[4] = 4096, free // 4096  # f_frsize, f_bavail
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))
    told = doctor(tmp_path, "--only", "disk")
    assert (told.code, told.only(verdict)["what"]) == (code, "space")


def test_who_holds_a_state_is_named_and_whether_it_sleeps(tmp_path: Path) -> None:
    folder = Layout(tmp_path).stream_state("events", 0)
    program = f"""
from pathlib import Path
from contracts.state_db import StateDB
held = StateDB(Path({str(folder)!r}))
print("held", flush=True)
input()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        awake = doctor(tmp_path, "--only", "state")
        other.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, other.pid, os.WSTOPPED | os.WNOWAIT)
        asleep = doctor(tmp_path, "--only", "state")
        other.kill()
    assert (awake.code, awake.only("ok")["found"]) == (0, f"1 state DB; held by process {other.pid} (1)")
    assert asleep.only("warning")["found"] == f"process {other.pid}, which holds them, is stopped"
    assert f"kill -CONT {other.pid}" in asleep.only("warning")["remedy"]
    after = doctor(tmp_path, "--only", "state")
    assert after.only("ok")["found"] == "1 state DB; held by no process that can be seen from here"


def test_a_run_folder_whose_name_is_no_text_is_told_on_the_screen_and_to_programs(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"run\xff")
    told = doctor(root, "--only", "disk")
    assert told.only("unused")["found"] == f"there is no {tmp_path}/run\\udcff yet"
    assert "run\\udcff yet" in printed(root, "--only", "disk")[1].replace("\n           ", " ")


def test_the_screen_begins_with_what_makes_its_commands_work(tmp_path: Path) -> None:
    _, text = printed(tmp_path / "a run", "--only", "disk")
    assert text.splitlines()[1].strip() == f"export FRESHET_ROOT='{tmp_path}/a run'"


def test_the_screen_says_what_to_do_and_repeats_where_the_faults_are(tmp_path: Path, base: OpenBase) -> None:
    (tmp_path / "shards" / "ev\x1b[31mil").mkdir()
    (shards.chain(Layout(tmp_path), "events", 0).directory / manifest_name(1)).unlink()
    code, text = printed(tmp_path, "--only", "chains")
    assert code == 1
    assert "FAULT    shards of events, partition 0: manifest 1 of" in text
    (remedy,) = [line.strip() for line in text.splitlines() if "->" in line]
    assert remedy.startswith("-> Restore the file from a copy, or") and remedy.endswith("--root NEW")
    assert text.rstrip().splitlines()[-2].startswith("1 fault, 0 warnings,")
    assert text.rstrip().splitlines()[-1].strip() == "FAULT  chains: shards of events, partition 0"
    assert "\x1b" not in text
