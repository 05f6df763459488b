"""`freshet produce --check`: what it says of a log, without a broker, and with which exit code."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import freshet
from contracts.catalogue import read_catalogue
from contracts.events import Click, Event, Item, Request, Shown, encode
from tests.support.published import mind_line, news_line

START = 1_507_000_000_000  # 2017-10-03 03:06:40 UTC
HOUR, DAY = 3_600_000, 86_400_000
SHOWN = (Shown("i1", 0), Shown("i2", 1))


def run(*argv: str) -> tuple[int, str, str]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = freshet.main(["produce", "--check", *argv])
    return code, out.getvalue(), error.getvalue()


def log(folder: Path, events: Iterable[Event | bytes]) -> str:
    path = folder / "log.jsonl"
    path.write_bytes(b"\n".join(event if isinstance(event, bytes) else encode(event) for event in events))
    return str(path)


def checked(folder: Path, events: Iterable[Event | bytes], *more: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run("--data", log(folder, events), "--json", *more)
    return code, json.loads(out)


def click(user: str, item: str, time: int, event_id: str = "", request_id: str = "") -> Click:
    return Click(user, item, START + time, START + time, event_id, request_id)


def test_days_are_told_with_their_counts_and_the_shares_of_known_users_and_items(tmp_path: Path) -> None:
    events: list[Event] = [
        click("u1", "i1", 0),
        click("u2", "i1", 1),
        click("u1", "i2", DAY),
        click("u3", "i9", DAY + 1),
    ]
    events.append(Request("r1", "u3", START + DAY + 2, START + DAY + 2, shown=SHOWN))
    code, found = checked(tmp_path, [Item("i1", START), *events])
    assert (code, found["usable"]) == (0, True)
    assert found["events"] == {"clicks": 4, "items": 1, "requests": 1}
    assert (found["users"], found["items"], found["shown"]) == (3, 3, 2)
    first, second = found["days"]
    assert first == {
        "day": "2017-10-03",
        "clicks": 2,
        "requests": 0,
        "users": 2,
        "items": 1,
        "clicks_of_known_users": 0,
        "clicks_on_known_items": 0,
    }
    assert (second["day"], second["requests"], second["users"], second["items"]) == ("2017-10-04", 1, 2, 2)
    assert (second["clicks_of_known_users"], second["clicks_on_known_items"]) == (1, 0)
    text = run("--data", str(tmp_path / "log.jsonl"))[1]
    assert "2017-10-04        2          1       2       2         50.0%          0.0%" in text
    assert "days and times of UTC" in text and text.endswith("usable       yes\n")


def test_silences_are_told_the_longest_in_the_order_of_the_log(tmp_path: Path) -> None:
    times = [0, HOUR // 2, 2 * HOUR, 3 * HOUR, 13 * HOUR, 14 * HOUR, 15 * HOUR, 16 * HOUR]
    _, found = checked(tmp_path, [click("u1", f"i{time}", time) for time in times])
    assert found["silences"] == 6
    assert len(found["longest_silences"]) == 5
    assert found["longest_silences"][0] == {"since": START + HOUR // 2, "until": START + 2 * HOUR}
    assert {"since": START + 3 * HOUR, "until": START + 13 * HOUR} in found["longest_silences"]
    assert "10 h 00 min from 2017-10-03 06:06:40" in run("--data", str(tmp_path / "log.jsonl"))[1]


def test_duplicates_are_told_as_the_joiner_takes_them(tmp_path: Path) -> None:
    events = [click("u1", "i1", 0, "e1"), click("u2", "i1", 0, "e1"), click("u1", "i5", HOUR, "e1")]
    events += [click("u1", "i1", DAY + 2 * HOUR, "e1")]  # more than a day after the last one: another click
    events += [click("u1", "i7", DAY + 3 * HOUR)] * 3
    _, found = checked(tmp_path, events)
    assert found["duplicates"] == {"same_event_id": 1, "alike": 2}
    assert any("event_id=COLUMN" in note for note in found["notes"])


def test_clicks_are_told_by_whether_their_request_had_come(tmp_path: Path) -> None:
    request = Request("r1", "u1", START, START, shown=SHOWN)
    others = [click("u2", "i1", 9, "", "r1"), click("u1", "i1", DAY + 10, "", "r1")]  # another's, and too late
    _, found = checked(tmp_path, [request, click("u1", "i1", 5, "", "r1"), click("u1", "i2", 6), *others])
    assert found["joins"] == {"direct": 1, "known": 1, "unknown": 2}


def test_rejections_are_told_by_name_with_examples_whatever_they_hold(tmp_path: Path) -> None:
    bad = [b"\x1b[31m{", b'{"kind":"clack"}', encode(Click("u", "i", 5, 5)), encode(Click("", "i", START, START))]
    code, found = checked(tmp_path, [*(click("u1", f"i{n}", n) for n in range(5)), *bad])
    assert code == 0
    assert found["rejected"] == {"bad_time": 1, "not_json": 1, "unknown_kind": 1, "wrong_type": 1}
    assert "not between 1990 and 2099" in found["examples"]["bad_time"][0]
    text = run("--data", str(tmp_path / "log.jsonl"))[1]
    assert "\x1b" not in text and "unknown_kind: " in text


def test_a_bad_row_is_told_with_file_line_and_reason(tmp_path: Path) -> None:
    lines = [mind_line(1, "U1", "11/15/2019 9:00:00 AM"), mind_line(2, "U1", "noon")]
    (tmp_path / "behaviors.tsv").write_text("".join(lines))
    code, out, _ = run("--data", str(tmp_path))
    assert code == 0 and "behaviors.tsv:2: time 'noon' is not like" in out


def test_disorder_is_measured_and_more_than_is_permitted_must_be_changed(tmp_path: Path) -> None:
    events = [click("u1", "i1", 50_000), click("u2", "i1", 40_500), click("u3", "i1", 60_000)]
    code, found = checked(tmp_path, events)
    assert (code, found["usable"]) == (2, False)
    disorder = found["disorder"]
    assert (disorder["events"], disorder["furthest_ms"]) == (1, 9500) and '"u2"' in disorder["too_far"]
    assert "--disorder-seconds 10." in found["must_change"][0] and "sorted.jsonl" in found["must_change"][0]
    code, found = checked(tmp_path, events, "--disorder-seconds", "10")
    assert (code, found["must_change"], found["disorder"]["events"]) == (0, [], 1)


def test_a_log_without_a_click_that_can_be_used_must_be_changed(tmp_path: Path) -> None:
    code, found = checked(tmp_path, [Request("r1", "u1", START, START, shown=SHOWN)])
    assert code == 2 and "no click" in found["must_change"][0]


def test_a_log_of_which_most_is_rejected_must_be_changed(tmp_path: Path) -> None:
    code, found = checked(tmp_path, [click("u1", "i1", 0), b"x", b"y"])
    assert code == 2 and "More than half of it is rejected" in found["must_change"][0]


def test_only_the_part_that_is_asked_for_is_read(tmp_path: Path) -> None:
    code, found = checked(tmp_path, [click("u1", "i1", n * DAY) for n in range(3)], "--day", "2017-10-04")
    assert (code, found["events"], found["part"]) == (0, {"clicks": 1}, "2017-10-04")
    assert any("one day" in note for note in found["notes"])


def test_no_broker_is_asked(tmp_path: Path) -> None:
    code, _, error = run("--data", log(tmp_path, [click("u1", "i1", 0)]), "--bootstrap", "nowhere.invalid:9")
    assert code == 0 and "freshet:" not in error


@pytest.mark.parametrize("rubbish", [b"", b"\x00\xff" * 900, b"PAR1", b"{}\n" * 50, b"a,b\n1,2\n", b"\x1f\x8b\x08"])
@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.parquet", "behaviors.tsv", "behaviors.parquet", "log"])
def test_rubbish_ends_with_a_sentence_a_hint_and_code_2(tmp_path: Path, name: str, rubbish: bytes) -> None:
    (tmp_path / name).write_bytes(rubbish)
    code, out, error = run("--data", str(tmp_path / name))
    sentence, _, hint = error[error.index("freshet: ") :].partition("\n")
    assert (code, out) == (2, "") and sentence and hint.strip()


def test_the_items_of_a_log_are_written_as_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "behaviors.tsv").write_text(mind_line(1, "U1", "11/15/2019 9:00:00 AM"))
    (tmp_path / "news.tsv").write_text(news_line("N1") + news_line("N2", "news"))
    code, _, error = run("--data", str(tmp_path), "--items-to", str(tmp_path / "items.jsonl"))
    assert code == 0, error
    found = read_catalogue(tmp_path / "items.jsonl").contents
    assert {item: content.discrete["category"] for item, content in found.items()} == {"N1": "sports", "N2": "news"}


def test_a_folder_that_is_not_there_for_the_items_is_refused_in_a_sentence(tmp_path: Path) -> None:
    code, _, error = run("--data", log(tmp_path, [click("u1", "i1", 0)]), "--items-to", str(tmp_path / "no" / "items"))
    assert code == 2 and "freshet: " in error and "Traceback" not in error


@pytest.mark.parametrize("option", [["--json"], ["--items-to", "x"]])
def test_what_goes_with_check_alone_is_refused_without_it(option: list[str]) -> None:
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        assert freshet.main(["produce", *option]) == 2
    assert f"{option[0]} goes with --check" in error.getvalue()
