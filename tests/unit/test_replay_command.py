"""`freshet streams replay` as a person starts it: interrupted, killed, fed with disorder, and run again."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from contracts import crash, shards
from contracts.events import Click
from contracts.layout import Layout
from tests.support.logs import START
from tests.support.replays import PARTITIONS, ReplayProcess, live_digests, mixed_events, replayed, write_log
from tests.support.workers import digests, wait_for, watermarks

CSV = "--columns=user=uid,item=article,time=ts"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path / "log.jsonl", mixed_events(21, 1_500))


def arguments(log: Path) -> tuple[str, ...]:
    return ("--data", str(log), "--partitions", str(PARTITIONS), "--processes", "2")


def begun(root: Path) -> bool:
    return max(watermarks(Layout(root), "events", PARTITIONS)) >= 0


def children_of(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def state_of(process: int) -> str:
    """Return the state of a process that is not ours to wait for, as Linux calls it: "Z" where it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def running(process: int) -> bool:
    """Whether a process that is not ours to wait for still runs."""
    return state_of(process) != "Z"


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_or_killed_it_leaves_no_process_and_goes_on_when_run_again(
    log: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    root = tmp_path / "run"
    stop = f"{crash.STOP}shards.commit.2@2"  # each child, in its second commit: none can be done before the blow
    with ReplayProcess(root, *arguments(log), crash_at=stop, rotate_samples="30") as process:
        wait_for(lambda: [*map(state_of, children_of(process.process.pid))] == ["T", "T"], what="two stopped children")
        assert begun(root)
        children = children_of(process.process.pid)
        if blow == signal.SIGINT:
            os.killpg(process.process.pid, blow)  # as a terminal does
        else:
            os.kill(process.process.pid, blow)
        for child in children:
            os.kill(child, signal.SIGCONT)
        assert process.ended() == (130 if blow == signal.SIGINT else -9)
        wait_for(lambda: not any(map(running, children)), what="the end of the children")
    assert len(children) == 2
    assert "Traceback" not in process.errors
    replayed(root, *arguments(log))
    assert digests(Layout(root), "events") == live_digests(mixed_events(21, 1_500), tmp_path / "live")


def test_a_second_run_folds_nothing_anew_and_says_so(log: Path, tmp_path: Path) -> None:
    first = replayed(tmp_path / "run", *arguments(log))
    again = replayed(tmp_path / "run", *arguments(log))
    assert "a second" in first and "in the shards already" not in first
    assert "in the shards already" in again
    on_disk = shards.combined(digests(Layout(tmp_path / "run"), "events"))
    for said in (first, again):
        assert [line.split()[-1] for line in said.splitlines() if "digest of all" in line] == [on_disk]


def test_a_log_that_has_changed_since_is_refused_and_never_mixed_with_what_was_made_of_it(
    log: Path, tmp_path: Path
) -> None:
    replayed(tmp_path / "run", *arguments(log))
    before = digests(Layout(tmp_path / "run"), "events")
    with log.open("ab") as file:
        file.write(b'{"kind":"tick","ingest_time":1507900000000}\n')
    with ReplayProcess(tmp_path / "run", *arguments(log)) as refused:
        assert refused.ended() == 2
        assert "files changed" in refused.errors
    assert digests(Layout(tmp_path / "run"), "events") == before


def in_disorder(folder: Path, kind: str) -> tuple[Path, tuple[str, ...]]:
    """Write a log of clicks whose last one belongs at its beginning; return it and how it is read."""
    times = [START + number * 1000 for number in range(15_000)] + [START + 1]
    if kind == "jsonl":
        return write_log(folder / "log.jsonl", [Click(f"u{t % 9}", "i", t, t) for t in times]), ()
    path = folder / "log.csv"
    path.write_text("uid,article,ts\n" + "".join(f"u{time % 9},i,{time}\n" for time in times))
    return path, (CSV,)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_disorder_is_refused_with_the_command_that_mends_it_and_the_mended_log_starts_anew(
    tmp_path: Path, kind: str
) -> None:
    path, how = in_disorder(tmp_path, kind)
    with ReplayProcess(tmp_path / "run", *arguments(path), *how, rotate_samples="500") as refused:
        assert refused.ended() == 2
    assert "goes back in time" in refused.errors and "Traceback" not in refused.errors
    command = refused.errors[refused.errors.index(" it by ") :].partition(": ")[2].strip()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    mended = tmp_path / f"sorted{'_log.csv' if kind == 'csv' else '.jsonl'}"
    mended.replace(path)
    with ReplayProcess(tmp_path / "run", *arguments(path), *how) as mixed:
        assert mixed.ended() == 2
        assert "use a new --root" in mixed.errors
    assert "samples emitted  15,001: direct 15,001" in replayed(tmp_path / "anew", *arguments(path), *how)
