"""The benchmark harness: what a figure says, how it is kept, and what of the README it may touch."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import results, rounds
from benchmarks.__main__ import BENCHMARKS, Options, main, run
from benchmarks.click_log import REJECTED, SHOWN, START_MS, WARM_UP, ClickLog
from benchmarks.day_log import DAY, write_day
from benchmarks.figures import Comparison, Figure, Machine, compared, this_machine
from benchmarks.memory import Feeding, log_of, readings_of
from benchmarks.replay_day import QUICK, day_of_clicks
from benchmarks.rounds import interleaved
from benchmarks.runs import Site, arrived, check_all_clicks, committed, need, worker
from benchmarks.shard_commit import commit_times
from benchmarks.slow_disk import slow_fsync
from benchmarks.steps import STEPS, Fetch, Profile, by_step
from benchmarks.taken import Taken
from contracts import durable
from contracts.days import day_of
from contracts.errors import Corrupt, FreshetError, MissingInput
from contracts.events import Click, Request, Tick, decode
from contracts.layout import Layout
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import KafkaRecord, Record, Topic
from streams.replay import Replay, Rules
from streams.sources.globo import DAY_ZONE
from streams.sources.open import open_source
from streams.sources.options import SourceOptions

MACHINE = Machine("a processor", 2, 24, "3.11.0", "Linux 6.1")
RATE = Comparison("clicks taken", "events/s", "a peer", must=2.0, aim=4.0)
COST = Comparison("a commit", "ms", "a peer", must=2.0, less_is_better=True)


def figure(name: str = "clicks taken", ratio: float = 3.0) -> Figure:
    return Figure(name, "events/s", 3000.0 * ratio, 3000.0, "a peer", ratio, MACHINE, 2.0, 4.0, "a note")


def test_figures_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    found = [figure(), figure("another", 0.5)]
    results.write(tmp_path, "some_file", found)
    assert results.read_all(tmp_path) == found


def test_a_result_file_is_a_list_of_objects_with_the_promised_keys(tmp_path: Path) -> None:
    path = results.write(tmp_path, "some_file", [figure()])
    (read,) = msgspec.json.decode(path.read_bytes())
    promised = {"figure", "unit", "ours", "peer", "ratio", "bar", "machine"}
    assert set(read) == promised | {"peer_name", "aim", "note"}
    assert (read["bar"], read["aim"]) == (2.0, 4.0)
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
    assert (made.verdict(made.must), made.verdict(made.aim)) == ("2x met", "4x missed")


def test_the_ratio_is_inverted_where_less_is_better() -> None:
    quick, slow = compared(COST, [5.0], [20.0], MACHINE), compared(COST, [20.0], [5.0], MACHINE)
    assert (quick.ratio, quick.verdict(quick.must)) == (4.0, "2x met")
    assert (slow.ratio, slow.verdict(slow.must)) == (0.25, "2x missed")


def test_a_figure_of_which_nothing_is_asked_has_no_verdict() -> None:
    made = compared(Comparison("clicks taken", "events/s", "a peer"), [2.0], [1.0], MACHINE)
    assert (made.verdict(made.must), made.verdict(made.aim)) == ("–", "–")


def test_the_note_keeps_the_digits_of_small_amounts() -> None:
    assert "ours 1.25 to 8.04 in 2 rounds" in compared(COST, [1.25, 8.04], [20.0, 20.0], MACHINE).note


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


def test_rounds_tell_what_they_found_and_how_long_the_rest_takes() -> None:
    said: list[str] = []
    interleaved({"a": lambda: 1234.0}, 2, said.append)
    assert said[0] == "round 1 of 2: a 1,234"
    assert said[1].endswith("to go")
    assert said[2:] == ["round 2 of 2: a 1,234"]


def test_what_takes_long_tells_how_far_it_is_and_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(rounds, "SAY_EVERY_S", 0.0)
    assert list(rounds.told(range(5000), 5000, "sent", said.append)) == list(range(5000))
    assert said[-1].startswith("  sent: 4,096 of 5,000; ")


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
        "| first | 9,000 events/s | a peer: 3,000 | **3.00x** | 2x met | 4x missed |",
        "| second | 1,500 events/s | a peer: 3,000 | **0.50x** | 2x missed | 4x missed |",
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


def test_in_the_mix_each_click_names_one_of_the_requests_before_it_and_an_item_that_it_showed() -> None:
    log = ClickLog(clicks=200, span_ms=50, requests=5)
    events = [event for event in log.events() if isinstance(event, Click | Request)][WARM_UP:]
    assert len(events) == log.count == 1200
    named = set[int]()
    for first in range(0, len(events), 6):
        requests = [event for event in events[first : first + 5] if isinstance(event, Request)]
        click = events[first + 5]
        assert isinstance(click, Click)
        assert {(len(request.shown), len(request.rejected)) for request in requests} == {(SHOWN, REJECTED)}
        (at,) = [number for number, request in enumerate(requests) if request.request_id == click.request_id]
        assert requests[at].user_id == click.user_id
        assert click.item_id in {item.item_id for item in requests[at].shown}
        named.add(at)
    assert named == set(range(5))
    assert len({request.request_id for request in events if isinstance(request, Request)}) == 1000


def test_a_log_that_is_drawn_piece_by_piece_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.click_log._DRAWN", 64)
    log = ClickLog(clicks=300, span_ms=50)
    once = list(log.events())
    assert once == list(log.events())
    assert len(once) == WARM_UP + 1 + 300
    assert len({event.user_id for event in once[-300:] if isinstance(event, Click)}) > 250


@pytest.fixture
def folded(tmp_path: Path) -> tuple[Layout, ClickLog]:
    """A run folder with the committed shards of a small mixed log, and the log."""
    layout, log = Layout(tmp_path), ClickLog(clicks=100, span_ms=200_000, requests=2)
    replay = Replay(layout, Topic("events", "a log", 8), Rules(Windows(), Rotation()))
    replay.fold(log.records(8))
    replay.close()
    return layout, log


def test_what_is_in_shards_is_counted_without_warm_up_and_ticks(folded: tuple[Layout, ClickLog]) -> None:
    layout, log = folded
    done = committed(layout, "events")
    assert (done.records, done.clicks) == (300, 100)
    assert done.last_commit > done.first_commit
    check_all_clicks(done, log)
    with pytest.raises(FreshetError, match="303 with 101 were sent"):
        check_all_clicks(done, ClickLog(clicks=101, span_ms=200_000, requests=2))


def test_a_run_has_arrived_when_every_partition_has_the_watermark(folded: tuple[Layout, ClickLog]) -> None:
    layout, log = folded
    assert arrived(layout, "events", log.end_ms())
    assert not arrived(layout, "events", log.end_ms() + 600_000)
    assert not arrived(layout, "other", START_MS)


def test_a_peer_that_is_not_installed_is_named_with_what_installs_it() -> None:
    need("msgspec")
    with pytest.raises(MissingInput, match="no_such_peer is not installed") as refused:
        need("msgspec", "no_such_peer")
    assert "make bench" in refused.value.hint


def test_a_peer_is_timed_from_its_first_record_to_the_last_one_asked_for_and_ends_there(tmp_path: Path) -> None:
    result = tmp_path / "taken.json"
    program = (
        "import sys; from pathlib import Path; from benchmarks.taken import Stopwatch\n"
        "watch = Stopwatch(3, Path(sys.argv[1]))\n"
        "while True: watch.saw_one()"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(result)], cwd=results.REPOSITORY, timeout=60)
    taken = msgspec.json.decode(result.read_bytes(), type=Taken)
    assert (ended.returncode, taken.records) == (0, 2)
    assert taken.seconds > 0
    assert taken.rate == taken.records / taken.seconds


def test_the_synthetic_day_is_a_file_of_clicks_of_that_day_in_the_order_of_their_times(tmp_path: Path) -> None:
    data, described = day_of_clicks(tmp_path, QUICK, "")
    events = list(open_source(SourceOptions(data=data)).read())
    assert described == "a synthetic day of 5,000 clicks"
    assert {type(event) for event in events} == {Click}
    times = [event.event_time for event in events if isinstance(event, Click)]
    assert (len(times), times) == (5000, sorted(times))
    assert {day_of(time, DAY_ZONE) for time in (times[0], times[-1])} == {DAY}


def test_of_a_folder_of_days_the_largest_is_replayed(tmp_path: Path) -> None:
    for name, clicks in (("clicks_1.csv.gz", 10), ("clicks_2.csv.gz", 2000), ("clicks_3.csv.gz", 10)):
        write_day(tmp_path / name, clicks)
    assert day_of_clicks(tmp_path, QUICK, str(tmp_path))[0].name == "clicks_2.csv.gz"


def held(feeding: Feeding) -> int:
    """The most that one partition's joiner holds in memory: entries, and changes that wait for a commit."""
    joiners = [writer._pipeline.joiner for writer in feeding.writers]
    tiers = [[joiner._requests, joiner._seen] for joiner in joiners]
    return max(sum(len(tier._now) + len(tier._changes) for tier in of_one) for of_one in tiers)


def test_what_writers_hold_in_memory_does_not_grow_with_what_they_were_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.memory.CHUNK", 64)
    monkeypatch.setattr("benchmarks.memory.EVENTS_PER_S", 25)
    log, feeding, most = log_of(30_000), Feeding(Layout(tmp_path)), list[int]()
    for fed in feeding.feed(log):
        if fed >= 3000 * (len(most) + 1):
            most.append(held(feeding))
    feeding.close()
    assert fed > 30_000
    assert len(most) == 10
    assert max(most[1:]) < 30_000 / 8 / 4  # of all that a partition was fed, and remembers for a day
    assert max(most[5:]) < 1.2 * max(most[1:5])


def test_memory_is_read_ten_times_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.memory.CHUNK", 64)
    said: list[str] = []
    readings = readings_of(Layout(tmp_path), 9000, said.append)
    assert [reading.events // 900 for reading in readings[:-1]] == list(range(1, 10))
    assert readings[-1].events >= 9000
    assert all(1 < reading.resident <= reading.peak for reading in readings)
    assert len(said) == 10


@pytest.fixture
def profiled(tmp_path: Path) -> dict[str, list[float]]:
    """One round of the steps of a small mixed log, with a fetch of 1 µs a record."""
    log = ClickLog(clicks=300, span_ms=300_000, requests=2)
    records: dict[int, list[KafkaRecord]] = {partition: [] for partition in range(8)}
    for record in log.records(8):
        records[record.partition].append(Record(len(records[record.partition]), record.value))
    profile = Profile(Site("nowhere:1", tmp_path), "events", Fetch(records, 1.0))
    sides = {name: side for name, side in profile.sides().items() if name != "fetch"}
    return interleaved(sides, 1, lambda text: None) | {"fetch": [1.0]}


def test_the_steps_of_a_record_add_up_to_all_of_its_time(profiled: dict[str, list[float]]) -> None:
    steps = by_step(profiled)
    assert tuple(steps) == STEPS
    assert min(steps.values()) > 0
    assert sum(steps.values()) == pytest.approx(1.0 + profiled["writers"][0])


def test_every_commit_of_a_full_shard_is_timed_beside_the_bare_disk(tmp_path: Path) -> None:
    ours, bare = commit_times(tmp_path, 2)
    assert (len(ours), len(bare)) == (2, 2)
    assert min(*ours, *bare) > 0


def test_the_slow_disk_is_slow_for_the_shards_of_one_partition_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("benchmarks.slow_disk.time.sleep", slept.append)
    monkeypatch.setattr(os, "fsync", os.fsync)  # put back afterwards
    layout = Layout(tmp_path)
    slow_fsync(0.5)
    for partition in range(2):
        durable.make_directory(layout.shards("events", partition))
        durable.write_file(layout.shards("events", partition) / "a file", b"bytes")
    assert slept
    slow = len(slept)
    durable.write_file(layout.shards("events", 1) / "another", b"bytes")
    durable.write_file(layout.shards("events", 0) / "another", b"bytes")
    assert slept[slow:] == [0.5]
    assert (layout.shards("events", 0) / "another").read_bytes() == b"bytes"


def test_a_worker_is_started_with_the_same_arguments_whatever_runs_it(tmp_path: Path) -> None:
    site = Site("broker:9092", tmp_path)
    usual, slow = worker(site, "t", tmp_path, "a"), worker(site, "t", tmp_path, "a", ("benchmarks.slow_disk", "0.1"))
    assert usual.command[1:5] == ["-m", "freshet", "streams", "worker"]
    assert slow.command[1:4] == ["-m", "benchmarks.slow_disk", "0.1"]
    assert usual.command[5:] == slow.command[4:]
    assert usual.environment == {"FRESHET_STREAMS_GROUP": f"t-{tmp_path.name}"}
