"""From options to a source: which format, which files, which name, and one sentence where it does not work."""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter
from pathlib import Path

import pytest

from contracts.errors import MissingInput, UsageError
from contracts.events import Click
from streams.log import RawRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions, add_source_arguments, source_options
from streams.sources.source import Source, counted, limited, on_days

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "globo_clicks" / "smoke_clicks_5days.csv.gz"
GLOBO_HEADER = (
    "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,click_environment,"
    "click_deviceGroup,click_os,click_country,click_region,click_referrer_type"
)
START = 1_506_826_800_000  # 2017-10-01 00:00 in Sao Paulo


def globo_file(path: Path, first: int, count: int) -> Path:
    rows = [f"{n},{n},{first},2,{n % 9},{first + n * 60_000},4,3,20,1,25,7" for n in range(count)]
    data = "\n".join([GLOBO_HEADER, *rows, ""]).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def parsed(*arguments: str) -> SourceOptions:
    parser = argparse.ArgumentParser()
    add_source_arguments(parser)
    return source_options(parser.parse_args(arguments))


def smoke_log(folder: Path) -> Path:
    """Return the published sample where it lies beside the repository, else a file in its layout."""
    return SHARED if SHARED.is_file() else globo_file(folder / "clicks_2017-10-01.csv.gz", START, 500)


def test_globo_rows_become_clicks_in_order_with_their_context(tmp_path: Path) -> None:
    path = smoke_log(tmp_path)
    source = open_source(SourceOptions(data=path))
    with gzip.open(path, "rt") as text:
        rows = list(csv.DictReader(text))
    events = [event for event in source.events() if isinstance(event, Click)]
    assert source.day_zone == "America/Sao_Paulo" and source.name.startswith("globo-")
    assert [(e.user_id, e.item_id, str(e.event_time)) for e in events] == [
        (row["user_id"], row["click_article_id"], row["click_timestamp"]) for row in rows
    ]
    assert all(e.ingest_time == e.event_time and not e.event_id and not e.request_id for e in events)
    assert events[0].context.discrete == {
        "environment": rows[0]["click_environment"],
        "deviceGroup": rows[0]["click_deviceGroup"],
        "os": rows[0]["click_os"],
        "country": rows[0]["click_country"],
        "region": rows[0]["click_region"],
        "referrer_type": rows[0]["click_referrer_type"],
    }


def test_a_globo_folder_is_read_in_the_order_of_its_days(tmp_path: Path) -> None:
    globo_file(tmp_path / "clicks_2017-10-02.csv", START + 86_400_000, 30)
    globo_file(tmp_path / "clicks_2017-10-01.csv.gz", START, 20)
    (tmp_path / "README.md").write_text("not a log")
    source = open_source(SourceOptions(data=tmp_path))
    times = [event.ingest_time for event in source.events() if isinstance(event, Click)]
    assert len(times) == 50 and times == sorted(times)


def test_the_estimate_of_a_files_size_is_near_the_truth(tmp_path: Path) -> None:
    source = open_source(SourceOptions(data=globo_file(tmp_path / "clicks_2017-10-01.csv.gz", START, 40_000)))
    assert source.total is not None and 20_000 < source.total < 80_000


def test_days_are_cut_in_the_zone_of_the_log(tmp_path: Path) -> None:
    globo_file(tmp_path / "clicks_2017-10-01.csv", START, 3 * 1440)
    source = open_source(SourceOptions(data=tmp_path))
    events = list(on_days(source, frozenset({"2017-10-02"})).events())
    times = [event.ingest_time for event in events if not isinstance(event, RawRecord)]
    assert (times[0], times[-1], len(times)) == (START + 86_400_000, START + 2 * 86_400_000 - 60_000, 1440)


def test_a_day_that_the_log_does_not_have_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    globo_file(tmp_path / "clicks_2017-10-01.csv", START, 3 * 1440)
    source = on_days(open_source(SourceOptions(data=tmp_path)), frozenset({"2018-01-01"}))
    with pytest.raises(MissingInput, match=r"nothing of 2018-01-01.*2017-10-01 to 2017-10-03"):
        list(source.events())


def test_a_limited_and_counted_source_counts_what_was_read(tmp_path: Path) -> None:
    globo_file(tmp_path / "clicks_2017-10-01.csv", START, 100)
    counts: Counter[str] = Counter()
    source = counted(limited(open_source(SourceOptions(data=tmp_path)), 7), counts)
    assert source.total == 7 and len(list(source.events())) == 7
    assert counts == {"click": 7}


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["--data", "absent.csv"], MissingInput, "there is no file or folder absent.csv"),
        (["--data", "empty"], MissingInput, "holds no file that matches"),
        (["--data", "empty", "--format", "globo"], MissingInput, r"clicks_\*\.csv"),
        (["--data", "other.csv"], UsageError, "cannot be told"),
        (["--data", "other.csv", "--format", "globo"], UsageError, "no column 'user_id'"),
        (["--data", "other.csv", "--format", "csv"], UsageError, "needs to know the columns"),
        (["--data", "other.csv", "--format", "jsonl"], UsageError, "is not one event a line"),
        (["--data", "other.csv", "--format", "synthetic"], UsageError, "reads no --data"),
        (["--format", "globo"], UsageError, "needs a file"),
        (["--mix", "1.5"], UsageError, "mix between 0 and 1"),
        (["--seed", "-1"], UsageError, "negative"),
        (["--first-day", "soon"], UsageError, "is not a day"),
        (["--disorder-seconds", "inf"], UsageError, "between 0 and a day"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_sentence_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: type[UsageError], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(error, match=sentence) as refused:
        open_source(parsed(*arguments))
    assert refused.value.hint and refused.value.exit_code == 2 and "\n" not in str(refused.value)


def test_no_argument_means_the_synthetic_log_and_its_name_tells_what_is_unusual() -> None:
    usual, other = open_source(parsed()), open_source(parsed("--seed", "7", "--mix", "0.2"))
    assert (usual.name, usual.day_zone) == ("synthetic", "UTC")
    assert other.name == "synthetic-seed7-mix0.2"


def test_names_are_fit_for_topics_and_folders(tmp_path: Path) -> None:
    path = globo_file(tmp_path / "Klicks von März (neu).csv", START, 5)
    source: Source = open_source(SourceOptions(data=path))
    assert source.name == "globo-Klicks_von_M_rz_neu"
