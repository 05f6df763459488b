"""`freshet evaluate` as a person calls it, and the document and page that it leaves."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Corrupt, UsageError
from contracts.layout import Layout
from tests.support.shards import Log, write_log
from tests.support.tastes import DAY_MS, DAYS, MIDNIGHT, Tastes, write_tastes
from trainer.evaluation import report, results
from trainer.evaluation.arms import FRESH, FROZEN
from trainer.evaluation.commands import evaluate, parse_evaluate
from trainer.evaluation.results import Evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the shards of three days."""
    root = tmp_path_factory.mktemp("evaluated")
    write_tastes(Layout(root), Tastes(days=3, users=60, clicks_per_day=900, with_context=False))
    return root


@pytest.fixture(scope="module")
def found(folder: Path) -> Evaluation:
    """What a quick evaluation of it found."""
    assert evaluate(["--root", str(folder), "--quick", "--json", str(folder / "out.json")]) == 0
    return results.decode((folder / "out.json").read_bytes(), "out.json")


def test_the_last_day_is_judged_on_a_base_of_all_days_before(found: Evaluation) -> None:
    assert (found.base_days, found.judged_day) == (DAYS[:2], DAYS[2])
    assert found.clicks == 900
    assert 0 < found.coverage <= 1
    assert [seed.calibrated_on for seed in found.seeds] == [DAYS[1]]


def test_the_best_frozen_arm_is_the_best_of_the_frozen_ones_on_the_day_itself(found: Evaluation) -> None:
    recalls = {name: found.arms[name].slices["all"].recall20.mean for name in FROZEN}
    assert recalls[found.best_frozen] == max(recalls.values())


def test_the_document_comes_back_as_it_was_written_and_rubbish_is_refused(found: Evaluation) -> None:
    assert results.decode(results.encode(found), "it") == found
    with pytest.raises(Corrupt):
        results.decode(b"{}", "it")
    with pytest.raises(Corrupt, match="schema"):
        results.decode(results.encode(msgspec.structs.replace(found, schema="freshet.evaluation/9")), "it")


def test_the_page_stands_alone_and_says_the_answer_first(folder: Path, found: Evaluation) -> None:
    page = (folder / f"evaluation-{DAYS[2]}.html").read_text()
    assert page == report.page(found)
    assert not re.search(r"""(src|href)=["']?(http|//|/)""", page.replace('xlink:href="#', ""))
    assert page.index(report.headline(found)) < page.index("<svg") < page.index("<h2>All arms</h2>")
    assert page.count('role="img" aria-label=') == 3
    for name in found.arms:
        assert name.replace("_", " ") in page


def test_the_same_evaluation_again_gives_the_same_figures(folder: Path, found: Evaluation) -> None:
    assert evaluate(["--root", str(folder), "--quick", "--json", str(folder / "again.json")]) == 0
    again = results.decode((folder / "again.json").read_bytes(), "again.json")
    assert again.comparisons == found.comparisons
    assert again.arms[FRESH].slices == found.arms[FRESH].slices


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--test", "2030-01-01"], "do not fit the log"),
        (["--base", "2025-01-06", "--test", "2025-01-08"], "do not fit the log"),
        (["--base", "2025-01-08..2025-01-08", "--test", "2025-01-08"], "do not fit the log"),
        (["--test", "2025-01-06"], "no complete day lies before"),
    ],
)
def test_days_that_do_not_fit_are_refused_with_those_that_there_are(
    folder: Path, words: list[str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        evaluate(["--root", str(folder), *words])
    assert DAYS[0] in caught.value.hint


def test_a_log_of_one_day_is_cut_by_position(tmp_path: Path) -> None:
    write_tastes(Layout(tmp_path), Tastes(days=1, clicks_per_day=900, users=40))
    assert evaluate(["--root", str(tmp_path), "--quick", "--json", str(tmp_path / "out.json")]) == 0
    found = results.decode((tmp_path / "out.json").read_bytes(), "out.json")
    assert len(found.base_days) == 2
    assert found.clicks == pytest.approx(270, abs=20)
    assert "From 2025-01-06" in report.headline(found)
    assert (tmp_path / f"evaluation-{DAYS[0]}.html").exists()


def test_a_day_that_a_retrain_would_refuse_is_judged_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [*Tastes(days=1).samples(), *Tastes(days=3, clicks_per_day=60).samples()[60:]]
    write_log(Layout(tmp_path), Log(), samples, MIDNIGHT + 3 * DAY_MS, (100,))
    assert evaluate(["--root", str(tmp_path), "--quick"]) == 0
    assert "note: a nightly retrain would refuse 2025-01-07: 60 samples, where 600 are usual" in capsys.readouterr().err


def test_options_of_the_log_go_to_the_replay_and_name_the_folder() -> None:
    given = parse_evaluate(["--data", "clicks/", "--format", "globo", "--seeds", "2", "--interval", "10m"])
    assert given.log == ("--data", "clicks/", "--format", "globo")
    assert (given.seeds, given.interval_ms) == (2, 600_000)
    assert given.layout.root.name.startswith("clicks-")
    other = parse_evaluate(["--data", "clicks/", "--format", "csv"])
    assert other.layout.root != given.layout.root


def test_an_interval_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_evaluate(["--interval", "often"])
    assert "is not like 30m" in capsys.readouterr().err
