"""The benchmark harness: what a figure says, how it is kept, and what of the README it may touch."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import results
from benchmarks.__main__ import BENCHMARKS, Options, main, run
from benchmarks.click_log import WARM_UP, ClickLog
from benchmarks.figures import Comparison, Figure, Machine, compared, this_machine
from benchmarks.rounds import interleaved
from contracts.errors import Corrupt, FreshetError
from contracts.events import Click, Tick, decode

MACHINE = Machine("a processor", 2, 24, "3.11.0", "Linux 6.1")
RATE = Comparison("clicks taken", "events/s", "a peer", 2.0)
COST = Comparison("a commit", "ms", "a peer", 2.0, less_is_better=True)


def figure(name: str = "clicks taken", ratio: float = 3.0) -> Figure:
    return Figure(name, "events/s", 3000.0 * ratio, 3000.0, "a peer", ratio, 2.0, MACHINE, "a note")


def test_figures_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    found = [figure(), figure("another", 0.5)]
    results.write(tmp_path, "some_file", found)
    assert results.read_all(tmp_path) == found


def test_a_result_file_is_a_list_of_objects_with_the_promised_keys(tmp_path: Path) -> None:
    path = results.write(tmp_path, "some_file", [figure()])
    (read,) = msgspec.json.decode(path.read_bytes())
    promised = {"figure", "unit", "ours", "peer", "ratio", "bar", "machine"}
    assert set(read) == promised | {"peer_name", "note"}
    assert set(read["machine"]) == {"cpu", "cores", "memory", "python", "kernel"}


def test_the_machine_is_described_by_what_moves_a_figure_and_not_by_its_name() -> None:
    machine, system = this_machine(), os.uname()
    name, release = machine.kernel.split()
    assert name == system.sysname
    assert system.release.startswith(release)
    assert set(release) <= set("0123456789.")
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert (machine.cores, machine.memory > 0, machine.cpu != "") == (os.cpu_count(), True, True)


def test_a_damaged_result_file_is_named(tmp_path: Path) -> None:
    results.write(tmp_path, "some_file", [figure()])
    (tmp_path / "torn.json").write_bytes(b'[{"figure": "clicks')
    with pytest.raises(Corrupt, match=r"torn\.json"):
        results.read_all(tmp_path)


def test_the_ratio_of_a_rate_is_ours_over_the_peers_by_medians() -> None:
    made = compared(RATE, [100.0, 900.0, 110.0], [50.0, 55.0, 1.0], MACHINE)
    assert (made.ours, made.peer, made.ratio) == (110.0, 50.0, 2.2)
    assert made.good


def test_the_ratio_is_inverted_where_less_is_better() -> None:
    quick, slow = compared(COST, [5.0], [20.0], MACHINE), compared(COST, [20.0], [5.0], MACHINE)
    assert (quick.ratio, quick.good) == (4.0, True)
    assert (slow.ratio, slow.good) == (0.25, False)


def test_the_note_holds_the_least_and_the_most_of_both_sides_and_of_the_ratio_within_a_round() -> None:
    made = compared(RATE, [100.0, 900.0, 110.0], [50.0, 60.0, 1.0], MACHINE, "Of clicks.")
    assert made.note == (
        "Medians; ours 100 to 900 in 3 rounds, peer 1 to 60 in 3 rounds; "
        "ratio by round 2.00 to 110.00, median 15.00. Of clicks."
    )


@pytest.mark.parametrize(("ours", "peer"), [([], [1.0]), ([1.0], []), ([1.0], [1.0, 0.0])])
def test_a_side_that_measured_nothing_is_refused(ours: list[float], peer: list[float]) -> None:
    with pytest.raises(FreshetError, match="measured nothing"):
        compared(RATE, ours, peer, MACHINE)


def test_sides_take_turns_in_every_round() -> None:
    turns: list[str] = []

    def side(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    found = interleaved({"a": lambda: side("a"), "b": lambda: side("b")}, 3, lambda text: None)
    assert turns == ["a", "b"] * 3
    assert found == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}


def test_the_table_stands_between_the_markers_and_nothing_else_is_touched(tmp_path: Path) -> None:
    before, after = "# Title\n\n| a | b |\n", "\n\nThe rest, with <!-- /figures --> once more.\n"
    readme = tmp_path / "README.md"
    readme.write_text(f"{before}{results.BEGIN}\nan old table\n{results.END}{after}")
    results.write(tmp_path / "results", "one", [figure("first")])
    results.write(tmp_path / "results", "two", [figure("second", 0.5)])
    results.put_into_readme(readme, tmp_path / "results")
    text = readme.read_text()
    assert text.startswith(f"{before}{results.BEGIN}\n| figure |")
    assert text.endswith(f"\n{results.END}{after}")
    rows = [line for line in text.splitlines() if line.startswith(("| first ", "| second "))]
    assert rows == [
        "| first | 9,000 events/s | a peer: 3,000 | **3.00x** | 2x |",
        "| second | 1,500 events/s | a peer: 3,000 | **0.50x** (missed) | 2x |",
    ]
    assert "an old table" not in text


def test_the_table_made_twice_is_the_same(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n{results.BEGIN}{results.END}\n")
    results.write(tmp_path, "one", [figure()])
    results.put_into_readme(readme, tmp_path)
    once = readme.read_text()
    results.put_into_readme(readme, tmp_path)
    assert readme.read_text() == once


@pytest.mark.parametrize("text", [None, "# Title\n", f"{results.END}\n{results.BEGIN}\n"])
def test_a_readme_that_is_absent_or_has_no_markers_is_left_alone_and_told(tmp_path: Path, text: str | None) -> None:
    readme = tmp_path / "README.md"
    if text is not None:
        readme.write_text(text)
    assert "No table was written" in results.put_into_readme(readme, tmp_path)
    assert (readme.read_text() if readme.exists() else None) == text


def test_list_names_every_file_that_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    files = Path(results.__file__).parent.glob("*.py")
    assert sorted(listed) == sorted(path.stem for path in files if defines_measure(path))


def defines_measure(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == "measure" for node in tree.body)


def test_only_takes_a_benchmark_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "no_such_figure"])
    assert ended.value.code == 2
    assert "no_such_figure" in capsys.readouterr().err


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let every benchmark answer at once; the list gets whether each was asked for a quick run."""
    asked: list[bool] = []

    class Stub:
        @staticmethod
        def measure(quick: bool, say: object) -> list[Figure]:
            asked.append(quick)
            return [figure(f"figure {len(asked)}")]

    monkeypatch.setattr("benchmarks.__main__.importlib.import_module", lambda name: Stub)
    return asked


def test_a_full_run_keeps_a_file_for_each_benchmark(tmp_path: Path, measured: list[bool]) -> None:
    assert run(Options(tuple(BENCHMARKS), False, tmp_path, tmp_path / "README.md")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.json" for name in BENCHMARKS)
    assert measured == [False] * len(BENCHMARKS)


def test_a_quick_run_keeps_nothing(tmp_path: Path, measured: list[bool], capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{results.BEGIN}{results.END}")
    assert run(Options(("stream_events",), True, tmp_path / "results", readme)) == 0
    assert measured == [True]
    assert "figure 1" in capsys.readouterr().out
    assert readme.read_text() == f"{results.BEGIN}{results.END}"
    assert not (tmp_path / "results").exists()


def test_the_log_begins_with_warm_up_clicks_in_every_topic_partition_and_a_tick_that_closes_their_shards() -> None:
    log = ClickLog(clicks=500, span_ms=50)
    for partition in range(8):
        values = [record.value for record in log.records(8) if record.partition == partition]
        events = [decode(value) for value in values]
        first_tick, closing = [at for at, event in enumerate(events) if isinstance(event, Tick)][:2]
        warm = [event for event in events[first_tick:closing] if isinstance(event, Click)]
        assert warm
        assert all(event.event_id.startswith("w") for event in warm)
        assert events[closing].ingest_time // 60_000 > warm[-1].ingest_time // 60_000


def test_the_log_holds_all_its_clicks_in_order_and_ends_after_its_end() -> None:
    log = ClickLog(clicks=500, span_ms=50)
    events = [decode(record.value) for record in log.records(8)]
    clicks = [event for event in events if isinstance(event, Click)]
    assert len(clicks) == 500 + WARM_UP
    assert len({click.event_id for click in clicks}) == len(clicks)
    times = [event.ingest_time for event in events]
    assert times == sorted(times)
    assert times[-1] >= log.end_ms()
