"""Laws 3, 5 and 6: the online state depends on the base and the samples in order, and moves nothing but rows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import bases, crash, deltas
from contracts.bases import BaseStore, OpenBase
from contracts.deltas import Changes, compacted
from contracts.events import Context
from contracts.features import FeatureEncoder
from contracts.layout import Layout
from tests.support.shards import Log, ShardWriter, by_partition
from tests.support.tastes import DAY_MS, MIDNIGHT, Tastes, write_tastes
from tests.support.trained import DeltaContent, base_digest, delta_contents, fold, small_settings, train
from trainer.digest import online_digest, overlay
from trainer.online import OnlineWorker

REPOSITORY = Path(__file__).parents[2]
TASTES = Tastes()
TWO, THREE = Log(partitions=2), Log(partitions=3)


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A base on the first of two days, and shards of both days."""
    layout = Layout(tmp_path_factory.mktemp("trained"))
    write_tastes(layout, TASTES, TWO)
    train(layout)
    return layout


@pytest.fixture(scope="module")
def undisturbed(first_day: Layout, tmp_path_factory: pytest.TempPathFactory) -> list[list[DeltaContent]]:
    """The deltas of both partitions of a run in one go."""
    layout, base = copied(first_day, tmp_path_factory.mktemp("undisturbed"))
    assert fold(layout, base) == TASTES.clicks_per_day
    return [delta_contents(layout, base, partition) for partition in range(2)]


def copied(source: Layout, target: Path) -> tuple[Layout, OpenBase]:
    layout = Layout(target / "run")
    shutil.copytree(source.root, layout.root)
    (base_id,) = BaseStore(layout).ids()
    return layout, BaseStore(layout).open(base_id)


def test_dense_parameters_item_vectors_and_biases_are_bit_identical_after_an_online_run(
    first_day: Layout, tmp_path: Path
) -> None:
    layout, base = copied(first_day, tmp_path)
    before = {file.name: base.file(file.name) for file in base.manifest.files}
    parts = (base.items.vectors, base.items.biases, base.items.embeddings, base.common)
    held = [part.copy() for part in parts]
    rows = {user: row.own.copy() for user, row in base.rows.items()}
    worker = OnlineWorker(layout, base, "events", 0, small_settings())
    encoder, features = worker.tools.encoder.context, FeatureEncoder(base.manifest.towers.context)
    context = features.encode([Context({"device": "phone"}, {"hour": 7.0})])
    vectors = encoder.vectors(*context)
    worker.advance()
    worker.close()
    assert np.array_equal(encoder.vectors(*context), vectors)
    assert vectors.any()
    assert {file.name: base.file(file.name) for file in base.manifest.files} == before
    assert bases.DENSE in before
    assert all(np.array_equal(then, now) for then, now in zip(held, parts, strict=True))
    assert all(np.array_equal(row.own, rows[user]) for user, row in base.rows.items())
    found, _ = overlay(layout, base, 0)
    assert found is not None
    assert found.rows
    assert not np.array_equal(found.common, base.common)


@settings(max_examples=8)
@given(data=st.data())
def test_shard_cuts_arrival_and_restarts_leave_no_trace_in_the_deltas(
    first_day: Layout,
    undisturbed: list[list[DeltaContent]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    root = tmp_path_factory.mktemp("cut")
    layout = Layout(root)
    shutil.copytree(first_day.bases(), layout.bases())
    (base_id,) = BaseStore(layout).ids()
    base, partition = BaseStore(layout).open(base_id), data.draw(st.integers(0, 1))
    samples = by_partition(TWO, TASTES.samples())[partition]
    writer, at = ShardWriter(layout, TWO, partition), 0
    worker = OnlineWorker(layout, base, "events", partition, small_settings())
    while at < len(samples):
        size = data.draw(st.sampled_from([1, 40, 170, 1000]))
        part = samples[at : at + size]
        writer.append(part, part[-1].watermark)
        at += size
        match data.draw(st.sampled_from(["wait", "advance", "restart", "forget"])):
            case "advance":
                worker.advance()
            case "restart":
                worker = restarted(worker)
            case "forget":
                worker = restarted(worker, forget=True)
    writer.append([], MIDNIGHT + 2 * DAY_MS)
    worker.advance()
    worker.close()
    assert delta_contents(layout, base, partition) == undisturbed[partition]


def restarted(worker: OnlineWorker, forget: bool = False) -> OnlineWorker:
    """Stop and start, warm or with the local state lost."""
    worker.advance()
    worker.close()
    if forget:
        shutil.rmtree(worker.layout.trainer_state(worker.base.manifest.base_id, worker.partition))
    return OnlineWorker(worker.layout, worker.base, "events", worker.partition, worker.settings)


@pytest.mark.parametrize("until_minutes", [7, 30, 333])
def test_stopping_at_any_watermark_and_going_on_leaves_no_trace(
    first_day: Layout, undisturbed: list[list[DeltaContent]], tmp_path: Path, until_minutes: int
) -> None:
    layout, base = copied(first_day, tmp_path)
    worker = OnlineWorker(layout, base, "events", 0, small_settings())
    start = MIDNIGHT + DAY_MS
    for minutes in range(until_minutes, 1440, until_minutes):
        worker.advance(start + minutes * 60_000)
        assert worker.watermark == start + minutes // 30 * 30 * 60_000
    worker.advance()
    worker.close()
    assert delta_contents(layout, base, 0) == undisturbed[0]


def test_kill_9_at_every_step_of_a_commit_and_around_a_block_gives_the_same_deltas_and_digests(
    first_day: Layout, undisturbed: list[list[DeltaContent]], tmp_path: Path
) -> None:
    layout, base = copied(first_day, tmp_path)
    points = ["block.before@9", "block.after@5", *(f"commit.{step}@{step + 2}" for step in range(5))]
    for point in points:
        died = online_process(layout, f"deltas.{point}")
        assert died.returncode == -signal.SIGKILL, died.stderr
    ended = online_process(layout)
    assert ended.returncode == 0, ended.stderr
    for partition in range(2):
        assert delta_contents(layout, base, partition) == undisturbed[partition]
        assert online_digest(layout, base, partition) in ended.stdout


@pytest.mark.parametrize(
    ("workers", "sizes", "kills"),
    [
        (("0,1,2",), (7, 170), ("deltas.commit.3@2",)),
        (("0,1", "2"), (1000,), ("deltas.block.after@5", "deltas.commit.1@3")),
        (("0", "1", "2"), (40, 1, 90), ("deltas.commit.4@1", "deltas.block.before@7", "deltas.commit.0@5")),
    ],
)
def test_one_two_and_three_workers_that_are_killed_on_the_way_end_at_one_digest_wherever_shards_were_cut(
    in_three: tuple[Layout, str],
    tmp_path: Path,
    workers: tuple[str, ...],
    sizes: tuple[int, ...],
    kills: tuple[str, ...],
) -> None:
    trained, wanted = in_three
    layout = Layout(tmp_path)
    write_tastes(layout, TASTES, THREE, sizes)
    shutil.copytree(trained.bases(), layout.bases())
    for owned, point in zip(workers, kills, strict=True):
        assert online_process(layout, point, owned).returncode == -signal.SIGKILL
    for owned in workers:
        assert online_process(layout, owned=owned).returncode == 0
    print(whole := whole_digest(layout))
    assert whole == wanted


@pytest.fixture(scope="module")
def in_three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, str]:
    """A base on the first of two days of a log of three partitions, and the digest that one worker comes to."""
    layout = Layout(tmp_path_factory.mktemp("three"))
    write_tastes(layout, TASTES, THREE)
    train(layout)
    return layout, whole_digest(layout)


def whole_digest(layout: Layout) -> str:
    """What a worker of all partitions prints when there is nothing left to fold."""
    ended = online_process(layout)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def online_process(layout: Layout, crash_at: str = "", owned: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({crash.VARIABLE: crash_at} if crash_at else {})}
    command = [sys.executable, str(REPOSITORY / "freshet.py"), "trainer", "online", "--root", str(layout.root)]
    command += ["--partitions", owned] if owned else []
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_an_owner_that_was_overtaken_drops_its_state_and_goes_on_from_the_new_head(
    first_day: Layout, undisturbed: list[list[DeltaContent]], tmp_path: Path
) -> None:
    layout, base = copied(first_day, tmp_path)
    slow = OnlineWorker(layout, base, "events", 0, small_settings())
    slow.advance(MIDNIGHT + DAY_MS + 3_600_000)
    quick_layout = Layout(tmp_path / "elsewhere")
    shutil.copytree(layout.root, quick_layout.root, ignore=shutil.ignore_patterns("state"))
    quick = OnlineWorker(quick_layout, base, "events", 0, small_settings())
    quick.advance(MIDNIGHT + DAY_MS + 7_200_000)
    quick.close()
    here, there = (each.deltas(base.manifest.base_id, 0) for each in (layout, quick_layout))
    shutil.copytree(there, here, dirs_exist_ok=True)
    slow.advance()
    slow.close()
    assert delta_contents(layout, base, 0) == undisturbed[0]
    chains = [deltas.chain(each, base.manifest.base_id, 0) for each in (layout, quick_layout)]
    assert [chains[0].read(number).digest for number in range(1, 5)] == [entry.digest for entry in chains[1].entries()]


def test_deltas_applied_one_by_one_equal_deltas_compacted(first_day: Layout, tmp_path: Path) -> None:
    layout, base = copied(first_day, tmp_path)
    fold(layout, base)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    found = [deltas.read(chain, entry) for entry in chain.entries()]
    one_by_one = Changes(base.common, 0)
    for each in found:
        one_by_one.apply(each)
    middle = len(found) // 2
    first, second = compacted(found[:middle]), compacted(found[middle:])
    assert first is not None
    assert second is not None
    first.apply(second)
    width = base.manifest.towers.width
    assert deltas.encode(first, width) == deltas.encode(one_by_one, width)
    assert len(one_by_one.rows) > len(found[-1].rows)


def test_a_retrain_comes_out_the_same_whether_an_online_run_happened_or_not(first_day: Layout, tmp_path: Path) -> None:
    quiet, base = copied(first_day, tmp_path / "quiet")
    busy, busy_base = copied(first_day, tmp_path / "busy")
    fold(busy, busy_base)
    assert delta_contents(busy, busy_base)
    without, after = train(quiet, "2025-01-07"), train(busy, "2025-01-07")
    assert without.manifest.parent == base.manifest.base_id
    assert base_digest(without) == base_digest(after)
    assert without.digest == after.digest


def test_the_sum_of_all_deltas_is_every_sample_once(undisturbed: list[list[DeltaContent]]) -> None:
    bodies = [content.body for contents in undisturbed for content in contents]
    assert sum(body.samples for body in bodies) == TASTES.clicks_per_day
    assert all(body.samples == body.learned + body.trend_only + body.set_aside for body in bodies)
    for contents in undisturbed:
        assert [content.body.watermark for content in contents] == [
            MIDNIGHT + DAY_MS + half_hour * 1_800_000 for half_hour in range(1, 49)
        ]


def test_every_delta_of_these_laws_carries_a_drift_record_so_they_hold_of_it_too(
    first_day: Layout, undisturbed: list[list[DeltaContent]], tmp_path: Path
) -> None:
    layout, base = copied(first_day, tmp_path)
    fold(layout, base)
    chain = deltas.chain(layout, base.manifest.base_id, 0)
    for entry, content in zip(chain.entries(), undisturbed[0], strict=True):
        (file,) = [file for file in entry.files if file.name.endswith(deltas.DRIFT)]
        assert file.sha256 in content.files
        record = deltas.drift_of(chain, entry)
        assert record is not None
        assert (record.first_ordinal, record.next_ordinal) == (content.body.first_ordinal, content.body.next_ordinal)
