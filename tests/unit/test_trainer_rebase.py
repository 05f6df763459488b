"""A new base's way to being served: folded on its own, judged against the branch before it, on record at every step."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import crash, deltas, rebases, recall, shards, validation
from contracts.bases import ITEMS, BaseStore, Items, OpenBase, pack_items
from contracts.deltas import Changes
from contracts.errors import Corrupt, UsageError
from contracts.layout import Layout, manifest_name
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from tests.support.bases import CUT, MINUTE, Hits, Tiny, block_scores, next_body, rewrite, tiny_base
from tests.support.shards import Log
from tests.support.tastes import DAYS, Tastes, write_tastes
from tests.support.trained import DeltaContent, base_digest, delta_contents, fold, small_settings, train
from trainer import commands_night
from trainer import rebase as module
from trainer.branches import Branches, live
from trainer.digest import online_digest
from trainer.rebase import Rebasing, judge_again, rebase, refuse
from trainer.settings import TrainerSettings

REPOSITORY = Path(__file__).parents[2]
THREE_DAYS, TWO = Tastes(days=3), Log(partitions=2)
NIGHT = {"judge_clicks": 20}
ALONE = ("announced", "verified", "folding", "scored", "ready")


def settings(**night: float) -> TrainerSettings:
    return small_settings(night={**NIGHT, **night}, online={"beta": 0.0, "bias_weight": 1.0})


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Three days of shards, a base on the first, its branch over the other two, and a base on the second day."""
    layout = Layout(tmp_path_factory.mktemp("nights"))
    write_tastes(layout, THREE_DAYS, TWO)
    old = train(layout, settings=settings())
    fold(layout, old)
    new = train(layout, DAYS[1], settings=settings())
    return layout.root, old.manifest.base_id, new.manifest.base_id


@pytest.fixture
def run(nights: tuple[Path, str, str], tmp_path: Path) -> tuple[Layout, OpenBase, OpenBase]:
    """A copy of these nights: the layout, the old base and the new one."""
    root, old, new = nights
    layout = Layout(tmp_path / "run")
    shutil.copytree(root, layout.root)
    return layout, BaseStore(layout).open(old), BaseStore(layout).open(new)


def rebasing(layout: Layout, base: OpenBase, **night: float) -> Rebasing:
    chosen = settings(**night)
    return Rebasing(layout, base, Branches(layout, "events", chosen), chosen, "someone")


def whole(layout: Layout, base: OpenBase, **night: float) -> rebases.Rebase:
    what = rebasing(layout, base, **night)
    try:
        return rebase(what).body
    finally:
        what.branches.close()


def states(layout: Layout, base: OpenBase) -> tuple[str, ...]:
    return tuple(entry.body.state for entry in rebases.chain(layout, base.manifest.base_id).entries())


def branch(layout: Layout, base: OpenBase) -> list[list[DeltaContent]]:
    return [delta_contents(layout, base, partition) for partition in range(2)]


def test_a_base_goes_step_by_step_to_ready_and_its_record_says_what_it_was_compared_with(
    run: tuple[Layout, OpenBase, OpenBase],
) -> None:
    layout, old, new = run
    body = whole(layout, new)
    assert states(layout, new) == ALONE
    assert (body.former, body.former_digest) == (old.manifest.base_id, old.digest)
    assert body.clicks > NIGHT["judge_clicks"]
    assert body.until - body.since == 6 * 3_600_000
    assert f"over {body.clicks} clicks" in body.why
    heads = [deltas.chain(layout, new.manifest.base_id, partition).head() for partition in range(2)]
    assert all(head and head.body.watermark == body.until for head in heads)


def test_once_it_is_over_the_same_command_does_nothing(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    whole(layout, new)
    before = branch(layout, new)
    assert whole(layout, new).state == "ready"
    assert states(layout, new) == ALONE
    assert branch(layout, new) == before


def test_no_row_crosses_bases(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, old, new = run
    whole(layout, new)
    with_branch = branch(layout, new)
    for folder in (layout.deltas(new.manifest.base_id, 0).parent, layout.rebase(new.manifest.base_id)):
        shutil.rmtree(folder)
    for folder in (layout.deltas(old.manifest.base_id, 0).parent, layout.base(old.manifest.base_id)):
        shutil.rmtree(folder)
    shutil.rmtree(layout.root / "state")
    assert whole(layout, new).why == "no base was served before"
    assert branch(layout, new) == with_branch


def test_the_next_full_retrain_is_bit_identical_whether_online_branches_ran_or_not(
    run: tuple[Layout, OpenBase, OpenBase],
) -> None:
    layout, old, new = run
    whole(layout, new)
    bare = Layout(layout.root / "bare")
    shutil.copytree(layout.root / "shards", bare.root / "shards")
    for base in (old, new):
        shutil.copytree(layout.base(base.manifest.base_id), bare.base(base.manifest.base_id))
    after = [train(each, DAYS[2], parent=new.manifest.base_id, settings=settings()) for each in (layout, bare)]
    assert base_digest(after[0]) == base_digest(after[1])
    assert after[0].digest == after[1].digest


def test_the_formers_branch_is_not_touched(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, old, new = run
    before = branch(layout, old)
    whole(layout, new)
    assert branch(layout, old) == before


def spoiled(new: OpenBase) -> OpenBase:
    """Return a base that tells no item from another."""
    items = new.items
    same = Items(items.ids, items.embeddings, np.tile(items.vectors[:1], (len(items.ids), 1)), items.biases * 0)
    return rewrite(new, "spoiled", {ITEMS: pack_items(same)})


def test_a_base_that_finds_less_than_the_branch_before_it_is_refused_in_figures_and_the_branch_goes_on(
    run: tuple[Layout, OpenBase, OpenBase],
) -> None:
    layout, _, new = run
    bad = spoiled(new)
    body = whole(layout, bad, judge_ms=86_400_000)
    assert states(layout, bad) == ("announced", "verified", "folding", "scored", "refused")
    assert body.hits < body.former_hits
    assert body.why.startswith(f"recall@{body.k} {body.hits / body.clicks:.4f}, base {body.former} ")
    assert rebases.newest(layout, "events").manifest.base_id == new.manifest.base_id
    assert "spoiled" not in [base.manifest.base_id for base in rebases.not_refused(layout, "events")]
    assert live(layout, "events", 86_400_000)[-1].manifest.base_id == new.manifest.base_id


def test_a_refused_base_can_be_judged_again_with_a_reason_and_one_that_was_not_refused_cannot(
    run: tuple[Layout, OpenBase, OpenBase],
) -> None:
    layout, _, new = run
    bad = spoiled(new)
    what = rebasing(layout, bad, judge_ms=86_400_000)
    with pytest.raises(UsageError, match="was not refused"):
        judge_again(what, "no record yet")
    whole(layout, bad, judge_ms=86_400_000)
    judge_again(what, "the log was wrong")
    head = rebases.head(layout, bad)
    assert head is not None
    assert (head.body.state, head.body.why) == ("announced", "the log was wrong")
    assert whole(layout, bad, judge_ms=86_400_000).state == "refused"
    whole(layout, new)
    with pytest.raises(UsageError, match="was not refused"):
        judge_again(rebasing(layout, new), "it is ready")


def test_what_the_push_gate_refused_is_not_judged_again(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    refuse(layout, new, "someone", "fit: worse")
    assert whole(layout, new).why == "fit: worse"
    with pytest.raises(UsageError):
        judge_again(rebasing(layout, new), "please")


def test_of_too_few_clicks_nothing_is_concluded(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    body = whole(layout, new, judge_clicks=100_000)
    assert body.state == "ready"
    assert "100000 are needed to judge" in body.why


def test_a_damaged_base_is_refused_before_anything_is_folded(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    path = layout.base(new.manifest.base_id) / "users.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    body = whole(layout, new)
    assert states(layout, new) == ("announced", "refused")
    assert "users.safetensors is damaged" in body.why
    assert not layout.deltas(new.manifest.base_id, 0).exists()


def test_shards_of_another_log_or_that_end_before_the_cut_are_refused(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    shutil.rmtree(layout.root / "shards")
    write_tastes(layout, Tastes(days=1), TWO)
    assert "end before" in whole(layout, new).why
    shutil.rmtree(layout.root / "shards")
    shutil.rmtree(layout.rebase(new.manifest.base_id))
    write_tastes(layout, THREE_DAYS, Log(topic_id="another", partitions=2))
    assert "another log" in whole(layout, new).why


def test_the_record_of_another_base_of_the_same_name_is_damage(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, old, new = run
    refuse(layout, old, "someone", "a test")
    shutil.copytree(layout.rebase(old.manifest.base_id), layout.rebase(new.manifest.base_id))
    with pytest.raises(Corrupt, match="its base's digest"):
        whole(layout, new)


def test_the_base_that_is_served_is_the_former_and_not_the_parent(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, old, new = run
    other = train(layout, DAYS[0], DAYS[1], parent="", settings=settings())
    publish_once(layout, PublisherSettings(), Order("someone", "a test", other.manifest.base_id))
    assert whole(layout, new).former == other.manifest.base_id
    assert {base.manifest.base_id for base in live(layout, "events", 86_400_000)} >= {other.manifest.base_id}
    assert old.manifest.base_id not in {base.manifest.base_id for base in live(layout, "events", 86_400_000)}


POINTS = [
    *(f"rebase.record.{when}@{n}" for n in range(1, 6) for when in ("before", "after")),
    "deltas.block.after@9",
    "deltas.commit.2@3",
]


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_at_any_point_leaves_what_the_same_command_brings_to_the_same_end(
    run: tuple[Layout, OpenBase, OpenBase], point: str
) -> None:
    layout, _, new = run
    program = (
        "import sys; from tests.unit.test_trainer_rebase import whole; from contracts.layout import Layout; "
        "from contracts.bases import BaseStore; from pathlib import Path; "
        "layout = Layout(Path(sys.argv[1])); print(whole(layout, BaseStore(layout).open(sys.argv[2])).state)"
    )
    command = [sys.executable, "-c", program, str(layout.root), new.manifest.base_id]
    killed = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, crash.VARIABLE: point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert whole(layout, new).state == "ready"
    assert states(layout, new) == ALONE
    shutil.copytree(layout.root, layout.root.parent / "undisturbed")
    other = Layout(layout.root.parent / "undisturbed")
    for folder in (
        other.deltas(new.manifest.base_id, 0).parent,
        other.rebase(new.manifest.base_id),
        other.root / "state",
    ):
        shutil.rmtree(folder)
    base = BaseStore(other).open(new.manifest.base_id)
    whole(other, base)
    assert [online_digest(layout, new, n) for n in range(2)] == [online_digest(other, base, n) for n in range(2)]


def test_of_two_that_rebase_at_once_the_slower_one_follows_the_others_record(
    run: tuple[Layout, OpenBase, OpenBase], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, _, new = run
    fired: list[str] = []

    def overtake(point: str) -> None:
        if point == "rebase.record.before" and not fired:
            fired.append(point)
            monkeypatch.setattr(module, "reach", lambda point: None)
            whole(layout, new)

    monkeypatch.setattr(module, "reach", overtake)
    assert whole(layout, new).state == "ready"
    assert fired
    assert states(layout, new) == ALONE


def test_the_shards_that_come_during_the_fold_are_folded_too(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    what = rebasing(layout, new)
    body = rebase(what).body
    what.branches.close()
    for partition in range(2):
        head = shards.chain(layout, "events", partition).head()
        assert head is not None
        assert head.body.watermark - body.until < what.settings.publish_interval_ms


def test_an_idle_partition_hides_nothing_of_what_the_others_found(run: tuple[Layout, OpenBase, OpenBase]) -> None:
    layout, _, new = run
    bad = spoiled(new)
    chain = shards.chain(layout, "events", 1)
    idle = chain.first_that_reached(bad.manifest.cut_watermark + 1, lambda body: body.watermark)
    for number in range(idle + 1, chain.head_number() + 1):
        (chain.directory / manifest_name(number)).unlink()
    body = whole(layout, bad, judge_ms=86_400_000)
    assert body.clicks > NIGHT["judge_clicks"]
    assert body.state == "refused"


def test_both_branches_are_compared_on_the_same_clicks_wherever_their_deltas_begin(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    bases = [tiny_base(layout, Tiny(name, partitions=1)) for name in ("former", "newer")]
    for base, first in zip(bases, (CUT, CUT + 10 * MINUTE), strict=True):
        chain = deltas.chain(layout, base.manifest.base_id, 0)
        body = next_body(base, None, 0)
        blocks = [
            msgspec.structs.replace(record, watermark=at)
            for at in range(CUT, CUT + 30 * MINUTE, 5 * MINUTE)
            if at >= first
            for record in block_scores(body, Hits(100, 20, 10))
        ]
        files = {deltas.ROWS: deltas.encode(Changes(base.common, 0), 8), deltas.VALIDATION: validation.encode(blocks)}
        chain.create(chain.prepare(None, body, files))
    both = recall.compared(layout, ("former", "newer"), CUT + 10 * MINUTE, [CUT + 30 * MINUTE])
    assert (both.clicks, both.hits, both.former_hits) == (400, 80, 80)
    assert not both.is_worse


def test_a_base_that_is_refused_by_hand_is_nobodys_parent_and_is_not_cut_over_to(
    run: tuple[Layout, OpenBase, OpenBase], capsys: pytest.CaptureFixture[str]
) -> None:
    layout, old, new = run
    assert whole(layout, new).state == "ready"
    words = ["--root", str(layout.root), "--base", new.manifest.base_id, "--refuse", "it was wrong"]
    assert commands_night.rebase(words) == 0
    assert "is refused" in capsys.readouterr().out
    assert states(layout, new) == (*ALONE, "refused")
    assert rebases.not_refused(layout, "events")[-1].manifest.base_id == old.manifest.base_id
    assert rebases.newest(layout).manifest.base_id == old.manifest.base_id
    with pytest.raises(SystemExit):
        commands_night.rebase(["--root", str(layout.root), "--refuse", "which one?"])
