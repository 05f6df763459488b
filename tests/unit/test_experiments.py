"""`freshet experiment` as a person calls it, on tiny logs: every claim, the budget, the documents that it leaves."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import shards
from contracts.arrays import Arrays
from contracts.bases import BaseStore
from contracts.errors import Corrupt, UsageError
from contracts.events import Click, Request
from contracts.layout import Layout
from contracts.settings import CONFIG_FOLDER
from streams.sources.synthetic import SyntheticSettings, synthetic_events
from streams.sources.synthetic_truth import write_truth
from tests.support.judged import small_log
from tests.support.source_tree import ROOT, imports, product_modules
from tests.support.tastes import DAYS, Tastes, write_tastes
from trainer.evaluation.protocol import EvaluationPlan
from trainer.experiments import nightly, order, results
from trainer.experiments.bench import Bench, own_folder
from trainer.experiments.claims import CLAIMS
from trainer.experiments.commands import experiment, parse_experiment
from trainer.experiments.nightly import unasked
from trainer.experiments.results import ArmFigures, Experiment, RunResult
from trainer.experiments.runs import Budget, Found, Run, label, made, ordered
from trainer.experiments.warm_start import moved
from trainer.settings import TrainerSettings

SMALL = """
[towers]
width = 16
hidden = 16
[retrain]
min_steps = 10
negatives = 64
min_item_clicks = 2
calibrate = false
"""
SETTINGS = SyntheticSettings(mix=0, days=3, users=80, items=150, clicks_per_day=500)
SYNTHETIC = ["--mix", "0", "--days", "3", "--users", "80", "--items", "150", "--clicks-per-day", "500"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Small towers, short training, nothing calibrated."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "trainer.toml").write_text(SMALL)
    monkeypatch.setenv(CONFIG_FOLDER, str(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the shards of three days."""
    root = tmp_path_factory.mktemp("log")
    write_tastes(Layout(root), Tastes(days=3, users=60, clicks_per_day=600, with_context=False))
    return root


def found(root: Path, name: str, *words: str) -> Experiment:
    assert experiment([name, "--root", str(root), "--quick", *words]) == 0
    return results.decode((root / f"experiment-{name}.json").read_bytes(), name)


@pytest.mark.parametrize("name", [claim.name for claim in CLAIMS if claim.name != "negatives"])
def test_every_claim_is_tested_on_a_log_of_shards_and_leaves_a_page_that_stands_alone(folder: Path, name: str) -> None:
    told = found(folder, name)
    assert (told.base_days, told.judged_day, told.clicks, told.not_made) == (DAYS[:2], DAYS[2], 600, ())
    assert len(told.runs) >= 3
    arms = [arm for run in told.runs for arm in run.arms.values()]
    assert all(arm.slices["all"].clicks == 600 > arm.slices["active"].clicks > 0 for arm in arms)
    assert max(arm.slices["all"].recall20.mean for arm in arms) > 0.2
    assert len({arm.slices["all"].mrr.mean for arm in arms}) > 3  # runs differ
    page = (folder / f"experiment-{name}.html").read_text()
    assert not re.search(r"""(src|href)=["']?(http|//|/)""", page.replace('xlink:href="#', ""))
    assert all(run.name in page for run in told.runs)
    assert "<svg" in page


def test_experiments_leave_no_base_where_the_product_would_find_it(folder: Path) -> None:
    found(folder, "order", "--budget", "1s")
    assert BaseStore(Layout(folder)).ids() == []


def test_negatives_are_tested_against_the_truth_and_the_wrong_ones_never_reach_the_products_samples(
    tmp_path: Path,
) -> None:
    told = found(tmp_path, "negatives", *SYNTHETIC)
    assert {run.name for run in told.runs} >= {"easy alone", "rejected 0.5", "shown 0.5"}
    truths = [arm.truth.mean for run in told.runs for arm in run.arms.values() if arm.truth]
    assert len(truths) == 2 * len(told.runs)
    assert all(0 < truth < 1 for truth in truths)
    right, wrong = (
        {sample.ordinal: sample for sample in shards.read_from(shards.chain(layout, "events", 0))}
        for layout in (Layout(tmp_path), Layout(Layout(tmp_path).experiment("shown-not-clicked")))
    )
    assert right.keys() == wrong.keys()
    requests = [event for event in synthetic_events(SETTINGS) if isinstance(event, Request)]
    shown = {(each.user_id, item.item_id) for each in requests for item in each.shown}
    spoilt = 0
    for ordinal, sample in wrong.items():
        true = right[ordinal]
        assert msgspec.structs.replace(sample, hard_negatives=true.hard_negatives) == true
        rejected = {(sample.user_id, each.item_id) for each in sample.hard_negatives}
        assert rejected <= shown
        assert sample.item_id not in {each.item_id for each in sample.hard_negatives}
        spoilt += sample.hard_negatives != true.hard_negatives
    assert spoilt > len(right) / 2


def test_negatives_refuse_a_log_whose_truth_nobody_knows(folder: Path) -> None:
    with pytest.raises(UsageError, match="needs a synthetic log"):
        experiment(["negatives", "--root", str(folder), "--quick"])


def test_no_module_of_the_product_knows_the_experiments_or_the_truth() -> None:
    inside = "trainer.experiments"
    for name, path in product_modules().items():
        if not name.startswith(inside):
            assert not {each for each in imports(path) if each.startswith(inside)}, name
        assert "streams.sources.synthetic_truth" not in imports(path), name


def test_a_budget_ends_after_the_run_at_hand_and_the_rest_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment(["order", "--root", str(folder), "--seeds", "2", "--budget", "1s"]) == 0
    told = results.decode((folder / "experiment-order.json").read_bytes(), "it")
    names = [f"{name}, seed {seed}" for seed in (1, 2) for name in ("day", "click", "hour", "minute")]
    made_here = sum(len(run.seeds) for run in told.runs)
    assert 1 <= made_here < len(names)
    assert told.not_made == tuple(names[made_here:])
    printed = capsys.readouterr().out
    assert all(f"not made: {name}" in printed for name in told.not_made)
    assert "Not made:" in (folder / "experiment-order.html").read_text()


def test_runs_are_made_with_one_seed_each_before_any_with_another_until_the_clock_says_so() -> None:
    ticks = itertools.count(0.0, 10.0)
    runs = [Run(name, name, lambda seed: {}) for name in ("a", "b", "c")]
    wanted = ordered(runs, (1, 2))
    assert [label(*each) for each in wanted][:4] == ["a, seed 1", "b, seed 1", "c, seed 1", "a, seed 2"]
    budget = Budget(35.0, lambda: next(ticks))  # looked at after each run: at 10, 20, 30 and 40 s
    assert len(list(made(wanted, budget))) == 4
    assert len(list(made(wanted, Budget(None)))) == 6


def test_who_interrupts_keeps_the_runs_that_were_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = iter([True, False])
    make = order._made

    def interrupted(bench: Bench, seed: int) -> Mapping[str, Found]:
        if next(rest):
            return make(bench, seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(order, "_made", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiment(["order", "--root", str(folder), "--quick"])
    told = results.decode((folder / "experiment-order.json").read_bytes(), "it")
    assert [run.name for run in told.runs] == ["day"]
    assert told.not_made == ("click, seed 1", "hour, seed 1", "minute, seed 1")


def test_several_experiments_share_what_is_left_of_a_budget() -> None:
    now = [0.0]
    whole = Budget(60.0, lambda: now[0])
    first = whole.share(3)
    now[0] = 19.0
    assert not first.spent()
    now[0] = 40.0  # the first one took twice its part
    assert first.spent()
    second = whole.share(2)
    now[0] = 49.0
    assert not second.spent()
    now[0] = 50.0
    assert second.spent()


def test_the_document_comes_back_as_it_was_written_and_rubbish_is_refused(folder: Path) -> None:
    told = found(folder, "nightly")
    assert results.decode(results.encode(told), "it") == told
    with pytest.raises(Corrupt):
        results.decode(b"{}", "it")
    with pytest.raises(Corrupt, match="schema"):
        results.decode(results.encode(msgspec.structs.replace(told, schema="freshet.experiment/9")), "it")


def test_a_day_of_which_the_first_part_is_learned_only_is_asked_for_the_rest(tmp_path: Path) -> None:
    day = small_log(Layout(tmp_path)).stage().day
    cut = unasked(day, 300)
    assert not cut.known[:300].any()
    np.testing.assert_array_equal(cut.known[300:], day.known[300:])
    assert day.known[:300].any()


def test_a_day_of_online_update_alone_is_the_day_after_last_night(folder: Path) -> None:
    layout = Layout(folder)
    plan = EvaluationPlan(
        own_folder(layout, "events"), "events", DAYS[:2], DAYS[2], 1, (1,), True, TrainerSettings.load()
    )
    bench = Bench(plan, layout, ())
    one, other = nightly.online_only(bench, 1, 1), nightly.last_night(bench, nightly.MOVING, 1)
    for arm in nightly.MOVING:
        np.testing.assert_array_equal(one[arm].judged.ranks, other[arm].judged.ranks)
    two = nightly.online_only(bench, 2, 1)
    assert len(two[nightly.ROWS].judged.ranks) == len(one[nightly.ROWS].judged.ranks)
    assert (two[nightly.ROWS].judged.ranks != one[nightly.ROWS].judged.ranks).any()


def test_the_moves_of_a_day_are_what_online_rows_are_away_from_the_base(tmp_path: Path) -> None:
    log = small_log(Layout(tmp_path))
    common, moves = moved(log.stage())
    assert set(moves) == set(log.days[2].samples.users)
    assert all(np.abs(move).max() > 0 for move in moves.values())
    assert not np.array_equal(common, log.base.common)


def test_the_truth_names_for_every_click_what_was_shown_beside_it_and_liked_most(tmp_path: Path) -> None:
    write_truth(SETTINGS, tmp_path / "truth")
    arrays = Arrays((tmp_path / "truth").read_bytes(), "truth")
    users, items, times = arrays.texts("users"), arrays.texts("items"), arrays.integers("times", -1).tolist()
    shown, likes = (arrays.integers(name, len(users), -1) for name in ("shown", "likes"))
    at = {key: row for row, key in enumerate(zip(users, times, strict=True))}
    log = list(synthetic_events(SETTINGS))
    requests = {event.request_id: event for event in log if isinstance(event, Request)}
    clicks = [event for event in log if isinstance(event, Click) and event.request_id in requests]
    assert len(clicks) > 1000
    liked = 0
    for click in clicks:
        row = at[click.user_id, click.event_time]
        request = requests[click.request_id]
        assert {items[n] for n in shown[row]} == {each.item_id for each in request.shown} - {click.item_id}
        liked += click.item_id in {items[n] for n in likes[row]}
    assert liked / len(clicks) > 0.4  # 20 of 150 items by chance: 0.13


def test_without_a_name_the_claims_are_listed_and_a_wrong_name_is_told_the_right_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert experiment([]) == 0
    printed = capsys.readouterr().out
    assert all(claim.name in printed and claim.quick in printed for claim in CLAIMS)
    for words in (["ordre"], ["--quick"]):
        with pytest.raises(UsageError) as caught:
            experiment(words)
        assert "order, nightly" in caught.value.hint


def test_what_is_for_one_experiment_is_refused_for_all() -> None:
    with pytest.raises(UsageError, match="are for one experiment"):
        parse_experiment(["all", "--json", "out.json"])


def test_of_all_experiments_one_that_does_not_suit_the_log_is_named_and_the_others_are_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment(["all", "--root", str(folder), "--quick", "--budget", "1s"]) == 0
    told = capsys.readouterr()
    assert "negatives: not tested: `negatives` needs a synthetic log" in told.err
    assert all(f"experiment-{claim.name}.html" in told.out for claim in CLAIMS if claim.name != "negatives")


def test_every_key_of_the_document_stands_on_the_page_of_experiments() -> None:
    text = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", text))))
    assert {name for struct in (Experiment, RunResult, ArmFigures) for name in struct.__struct_fields__} - told == set()


def test_options_of_the_log_go_to_the_replay() -> None:
    given = parse_experiment(["order", "--mix", "0.2", "--quick", "--budget", "10m"])
    assert (given.log, given.seeds, given.budget_s) == (("--mix", "0.2"), 1, 600.0)
    assert given.command == "freshet experiment order --mix 0.2 --quick --budget 10m"


def test_a_claim_that_needs_two_nights_says_so(folder: Path) -> None:
    words = ["--base", f"{DAYS[1]}..{DAYS[1]}", "--test", DAYS[2]]
    for name in ("nightly", "warm-start"):
        with pytest.raises(UsageError, match="1 base day is not enough"):
            experiment([name, "--root", str(folder), "--quick", *words])


def test_the_maker_of_the_truth_says_what_is_wrong_without_a_traceback(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "streams.sources.synthetic_truth", str(tmp_path / "truth"), "--mix", "7"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "a mix between 0 and 1" in ended.stderr
    assert "Traceback" not in ended.stderr
