"""A replay in several processes is a replay in one is a live fold, wherever it was interrupted. Law 4."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import crash
from contracts.errors import ChainTaken, ProcessFailed
from contracts.layout import Layout
from streams.join import Windows
from streams.log import partitioned
from streams.pipeline import Rotation
from streams.records import Topic
from streams.replay import Replay, Rules
from streams.replay_frames import Batch, Folded, FromChild, Ready, frame, take_from_child
from streams.replay_processes import Children, beginning
from tests.support.replays import PARTITIONS, live_digests, mixed_events
from tests.support.workers import digests

TOPIC = Topic("events", "log", PARTITIONS)
RULES = Rules(Windows(), Rotation(samples=15, bucket_ms=1_800_000))


def fold(root: Path, seed: int, processes: int, size: int = 300) -> Children:
    """Replay the log of a seed in so many processes."""
    children = Children(beginning(Layout(root), TOPIC, RULES), processes)
    try:
        Replay(Layout(root), TOPIC, RULES, children).fold(partitioned(mixed_events(seed, size), PARTITIONS))
    finally:
        children.close()
    return children


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_any_number_of_processes_gives_the_samples_of_the_live_fold(tmp_path: Path, processes: int) -> None:
    fold(tmp_path / "replay", processes, processes)
    assert digests(Layout(tmp_path / "replay"), "events") == live_digests(mixed_events(processes), tmp_path / "live")


def test_a_fold_in_this_process_gives_the_same_samples(tmp_path: Path) -> None:
    replay = Replay(Layout(tmp_path / "here"), TOPIC, RULES)
    replay.fold(partitioned(mixed_events(8), PARTITIONS))
    replay.close()
    fold(tmp_path / "there", 8, 2)
    assert digests(Layout(tmp_path / "here"), "events") == digests(Layout(tmp_path / "there"), "events")


@pytest.mark.parametrize(
    ("point", "processes"),
    [("0@1", 1), ("0@3", 3), ("1@2", 2), ("2@1", 3), ("2@4", 1), ("3@2", 2), ("4@1", 1), ("4@3", 3)],
)
def test_a_child_killed_anywhere_is_named_and_the_next_run_gives_the_same_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, processes: int
) -> None:
    with monkeypatch.context() as patch, pytest.raises(ProcessFailed, match=r"killed by signal 9") as failed:
        patch.setenv(crash.VARIABLE, f"shards.commit.{point}")
        fold(tmp_path / "replay", 5, processes)
    assert "run the same command again" in failed.value.hint
    assert failed.value.exit_code == 1
    fold(tmp_path / "replay", 5, 4 - processes)
    assert digests(Layout(tmp_path / "replay"), "events") == live_digests(mixed_events(5), tmp_path / "live")


def test_a_second_run_hands_over_only_what_no_complete_shard_holds(tmp_path: Path) -> None:
    first = fold(tmp_path, 6, 2, size=2_000)
    heads = fold(tmp_path, 6, 2, size=2_000)
    assert first.folded > 10 * heads.folded


def test_an_error_of_a_child_comes_out_with_its_own_words_and_exit_code(tmp_path: Path) -> None:
    fold(tmp_path, 6, 2)
    other = Topic("events", "another log", PARTITIONS)
    with pytest.raises(ProcessFailed, match="topic id log ") as failed:
        Replay(Layout(tmp_path), other, RULES, Children(beginning(Layout(tmp_path), other, RULES), 2)).fold([])
    assert failed.value.exit_code == 2
    assert "--root" in failed.value.hint


def test_two_replays_into_one_folder_are_told_to_take_turns(tmp_path: Path) -> None:
    here = Replay(Layout(tmp_path), TOPIC, RULES)
    fold(tmp_path, 6, 1)
    with pytest.raises(ChainTaken, match="another process folds") as refused:
        here.fold(partitioned(mixed_events(6), PARTITIONS))
    here.close()
    assert "--root" in refused.value.hint


@given(cuts=st.lists(st.integers(1, 40), max_size=20))
def test_messages_come_out_of_a_pipe_as_they_went_in_however_it_cuts_them(cuts: list[int]) -> None:
    sent: list[FromChild] = [Ready({0: 5, 7: 1 << 40}), Folded(4096), Folded(0, last=True)]
    data, received, taken = b"".join(map(frame, sent)), bytearray(), []
    for cut in [*cuts, len(data)]:
        received += data[:cut]
        data = data[cut:]
        taken += take_from_child(received)
    assert taken == sent
    assert not received


def test_a_batch_of_nothing_and_of_large_values_has_its_length_in_front() -> None:
    for values in ([], [b"", b"x" * 3_000_000]):
        data = frame(Batch(3, 1 << 50, values))
        assert int.from_bytes(data[:4], "big") == len(data) - 4
