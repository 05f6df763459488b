"""Json lines: events as they stand, or clicks by named keys."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from contracts.errors import Disorder, MissingInput, UsageError
from contracts.events import MAX_VALUE_BYTES, Click, Event, Rejected, Request, Shown, encode
from streams.log import RawRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions

TIME = 1_500_000_000_000
EVENTS: list[Event] = [
    Request("r1", "u1", TIME, TIME, shown=(Shown("i1", 0),), rejected=(Rejected("i2", "rank"),)),
    Click("u1", "i1", TIME + 5, TIME + 9, "c1", "r1"),
]


def written(path: Path, lines: list[bytes]) -> Path:
    data = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson", "log.jsonl.gz"])
def test_each_line_is_an_event_as_it_stands(tmp_path: Path, name: str) -> None:
    source = open_source(SourceOptions(data=written(tmp_path / name, [encode(event) for event in EVENTS])))
    assert list(source.events()) == EVENTS
    assert source.name == "jsonl-log"


def test_a_line_that_is_no_event_travels_as_it_is(tmp_path: Path) -> None:
    bad = [b"{", b"[]", b'{"kind":"view"}', encode(Click("u", "i", 0, 0)), b"\xff\xfe"]
    source = open_source(SourceOptions(data=written(tmp_path / "log.jsonl", [encode(EVENTS[0]), *bad, b"  "])))
    assert list(source.events()) == [EVENTS[0], *map(RawRecord, bad)]


def test_a_line_that_no_decoder_reads_is_cut_to_what_a_broker_takes(tmp_path: Path) -> None:
    lines = [encode(EVENTS[0]), b"x" * (5 << 20), encode(EVENTS[1])]
    first, long, last = open_source(SourceOptions(data=written(tmp_path / "log.jsonl", lines))).events()
    assert [first, last] == EVENTS
    assert isinstance(long, RawRecord) and b"log.jsonl:2: the line is too long" in long.value
    assert len(long.value) < MAX_VALUE_BYTES


def test_keys_named_on_the_command_line_make_clicks_of_any_objects(tmp_path: Path) -> None:
    lines = [b'{"who": 7, "what": "a1", "when": 1500000000.25, "device": "tv", "age": 3}']
    source = open_source(
        SourceOptions(
            data=written(tmp_path / "log.jsonl", lines),
            columns="user=who,item=what,time=when",
            time_unit="s",
            context_columns="device",
            number_columns="age",
        )
    )
    [click] = source.events()
    assert isinstance(click, Click)
    assert (click.user_id, click.item_id, click.event_time) == ("7", "a1", TIME + 250)
    assert (click.context.discrete, click.context.continuous) == ({"device": "tv"}, {"age": 3.0})


def test_objects_without_the_keys_or_with_wrong_types_are_bad_rows(tmp_path: Path) -> None:
    good = b'{"who": "u", "what": "i", "when": 1500000000000}'
    bad = [b'{"who": "u", "when": 1500000000000}', b'{"who": ["u"], "what": "i", "when": 1500000000000}', b"7", b"{"]
    path = written(tmp_path / "log.jsonl", [good, *bad])
    events = list(open_source(SourceOptions(data=path, columns="user=who,item=what,time=when")).events())
    assert [type(event) for event in events] == [Click] + [RawRecord] * 4


def test_a_file_without_one_event_in_its_first_lines_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", [b'{"who": "u"}'] * 3)
    with pytest.raises(UsageError, match="refused as unknown_kind"):
        open_source(SourceOptions(data=path))


def test_the_command_in_the_refusal_of_disorder_sorts_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "it's a log.jsonl.gz", [encode(event) for event in reversed(EVENTS)])
    with pytest.raises(Disorder) as refused:
        list(open_source(SourceOptions(data=path)).records(2))
    subprocess.run(["bash", "-c", refused.value.hint.partition(": ")[2]], cwd=tmp_path, check=True)
    assert list(open_source(SourceOptions(data=tmp_path / "sorted.jsonl")).events()) == EVENTS


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="holds no lines"):
        open_source(SourceOptions(data=written(tmp_path / "log.jsonl", [b"", b" "])))
