"""MIND: what was shown, what was clicked, what was clicked before; what is no impression; what is refused at once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from contracts.errors import EventRejected, MissingInput, UsageError
from contracts.events import Click, Context, Item, Request, Shown, decode
from streams.log import RawRecord
from streams.sources.open import open_source
from streams.sources.options import SourceOptions
from streams.sources.source import Source, on_days
from tests.support.published import mind_line, news_line

MORNING = 1_573_808_122_000  # 11/15/2019 8:55:22 AM, UTC
MIDNIGHT = 1_573_776_000_000
DAY = 86_400_000
SHOWN = (Shown("N1", 0), Shown("N2", 1), Shown("N3", 2))


def opened(folder: Path, *lines: str, news: str = "") -> Source:
    (folder / "behaviors.tsv").write_text("".join(lines))
    if news:
        (folder / "news.tsv").write_text(news)
    return open_source(SourceOptions(data=folder))


def test_an_impression_becomes_a_request_with_all_that_was_shown_and_a_click_that_names_it(tmp_path: Path) -> None:
    source = opened(tmp_path, mind_line(7, "U13740", "11/15/2019 8:55:22 AM"))
    assert list(source.events()) == [
        Request("7", "U13740", MORNING, MORNING, shown=SHOWN),
        Click("U13740", "N2", MORNING, MORNING, "7/N2", "7"),
    ]
    assert (source.name.partition("-")[0], source.day_zone) == ("mind", "UTC")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("11/15/2019 12:00:00 AM", MIDNIGHT),
        ("11/15/2019 12:00:00 PM", MIDNIGHT + DAY // 2),
        ("11/15/2019 11:59:59 PM", MIDNIGHT + DAY - 1000),
        ("1/5/2020 1:02:03 PM", 1_578_229_323_000),
    ],
)
def test_times_are_read_whatever_the_language_of_the_machine(tmp_path: Path, text: str, milliseconds: int) -> None:
    first, *_ = opened(tmp_path, mind_line(1, "U1", text)).events()
    assert isinstance(first, Request) and first.event_time == milliseconds


def test_impressions_come_in_the_order_of_their_times_as_they_are_published_in_that_of_their_ids(
    tmp_path: Path,
) -> None:
    clocks = ("11/15/2019 9:00:00 AM", "11/14/2019 9:00:00 PM", "11/15/2019 8:00:00 AM")
    source = opened(tmp_path, *(mind_line(number, "U1", clock) for number, clock in enumerate(clocks, start=1)))
    assert [event.request_id for event in source.events() if isinstance(event, Request)] == ["2", "3", "1"]
    assert len(list(source.records(2))) > 6  # nothing is refused as disorder


def test_a_history_becomes_clicks_in_its_order_in_the_four_weeks_before_the_log_once_for_each_user(
    tmp_path: Path,
) -> None:
    source = opened(
        tmp_path,
        mind_line(1, "U1", "11/15/2019 9:00:00 AM", "N8 N9 N8"),
        mind_line(2, "U2", "11/15/2019 8:00:00 AM", "N7"),
        mind_line(3, "U1", "11/16/2019 9:00:00 AM", "N8 N9 N8 N2"),
    )
    past = [event for event in source.events() if isinstance(event, Click) and not event.request_id]
    assert [click.item_id for click in past if click.user_id == "U1"] == ["N8", "N9", "N8"]
    assert [click.item_id for click in past if click.user_id == "U2"] == ["N7"]
    times = [click.event_time for click in past]
    assert times == sorted(times) and times[0] >= MIDNIGHT - 28 * DAY and times[-1] < MIDNIGHT
    kept = on_days(source, frozenset({"2019-11-15", "2019-11-16"})).events()
    assert all(event.request_id for event in kept if isinstance(event, Click))


def test_what_was_shown_and_not_clicked_is_nowhere_but_in_the_request(tmp_path: Path) -> None:
    request, click = opened(tmp_path, mind_line(1, "U1", "11/15/2019 9:00:00 AM")).events()
    assert isinstance(request, Request) and request.shown == SHOWN and request.rejected == ()
    assert isinstance(click, Click) and click.item_id == "N2"


def test_an_impression_without_a_click_is_a_request_alone(tmp_path: Path) -> None:
    source = opened(tmp_path, mind_line(1, "U1", "11/15/2019 9:00:00 AM", shown="N1-0 N2-0"))
    assert [type(event) for event in source.events()] == [Request]


def test_news_become_items_before_everything_else_each_once(tmp_path: Path) -> None:
    news = news_line("N1") + news_line("N2", "news", "newsus") + news_line("N1", "again", "again") + "N3\tnews\n"
    lines = (mind_line(1, "U1", "11/15/2019 8:55:22 AM"),)
    first, second, bad, *rest = opened(tmp_path, *lines, news=news).events()
    assert first == Item("N1", MORNING - 1, Context({"category": "sports", "subcategory": "football_nfl"}))
    assert second == Item("N2", MORNING - 1, Context({"category": "news", "subcategory": "newsus"}))
    assert isinstance(bad, RawRecord) and b"news.tsv:4: 2 tab-separated fields, not 8" in bad.value
    assert len(rest) == 2


def test_the_training_part_is_read_before_the_others_and_their_numbers_do_not_collide(tmp_path: Path) -> None:
    for part, user in (("MINDsmall_dev", "U2"), ("MINDsmall_train", "U1")):
        (tmp_path / part).mkdir()
        (tmp_path / part / "behaviors.tsv").write_text(mind_line(1, user, "11/15/2019 9:00:00 AM"))
        (tmp_path / part / "news.tsv").write_text(news_line("N1"))
    events = list(open_source(SourceOptions(data=tmp_path)).events())
    requests = [(event.user_id, event.request_id) for event in events if isinstance(event, Request)]
    assert requests == [("U1", "1"), ("U2", "2-1")]
    assert sum(isinstance(event, Item) for event in events) == 1


def test_a_file_that_is_named_itself_is_known_by_its_first_line_and_read_alone(tmp_path: Path) -> None:
    (tmp_path / "news.tsv").write_text(news_line("N1"))
    path = tmp_path / "part.tsv.gz"
    path.write_bytes(gzip.compress(mind_line(1, "U1", "11/15/2019 9:00:00 AM").encode()))
    assert [type(event) for event in open_source(SourceOptions(data=path)).events()] == [Request, Click]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("8\tU1\t11/15/2019 9:00:00 AM\tN1-1\n", "4 tab-separated fields, not 5"),
        (mind_line(8, "U1", "2019-11-15 9:00:00"), "time '2019-11-15 9:00:00' is not like"),
        (mind_line(8, "U1", "13/45/2019 9:00:00 AM"), "month must be in 1..12"),
        (mind_line(8, "U1", "11/15/2019 0:00:00 PM"), "has no hour from 1 to 12"),
        (mind_line(8, "U1", "11/15/1919 9:00:00 AM"), "is not between 1990 and 2099"),
        (mind_line(8, "U1", "11/15/2019 9:00:00 AM", shown="N1-1 N2"), "'N2' does not say whether it was clicked"),
        (mind_line(8, "U1", "11/15/2019 9:00:00 AM", shown="-1"), "an id has 1 to 256 characters, '' has 0"),
        (mind_line(8, "U1", "11/15/2019 9:00:00 AM", shown=" "), "nothing was shown"),
        (mind_line(8, "", "11/15/2019 9:00:00 AM"), "an id has 1 to 256 characters"),
        (mind_line(8, "U" * 300, "11/15/2019 9:00:00 AM"), "has 300"),
        (mind_line(8, "U1", "11/15/2019 9:00:00 AM", "N" * 300), "has 300"),
        (mind_line(8, "U1", "11/15/2019 9:00:00 AM", shown="N1-0 " * 1001), "1001 items were shown, at most 1000"),
        (mind_line(8, "U1", "11/15/2019 9:00:00 AM", "N1 " * 400_000), "the line is too long"),
    ],
)
def test_a_line_that_is_no_impression_becomes_a_record_that_names_file_line_and_reason(
    tmp_path: Path, line: str, reason: str
) -> None:
    good = mind_line(1, "U1", "11/15/2019 9:00:00 AM")
    source = opened(tmp_path, good, line, mind_line(2, "U1", "11/15/2019 8:00:00 AM"))
    bad = [event for event in source.events() if isinstance(event, RawRecord)]
    assert len(bad) == 1 and "behaviors.tsv:2: " in (text := bad[0].value.decode()) and reason in text
    with pytest.raises(EventRejected, match="not_json"):
        decode(bad[0].value)


def test_bytes_that_are_no_text_are_a_bad_row(tmp_path: Path) -> None:
    good = mind_line(1, "U1", "11/15/2019 9:00:00 AM")
    (tmp_path / "behaviors.tsv").write_bytes(good.encode() + good.replace("U1", "U\xff").encode("latin-1"))
    events = list(open_source(SourceOptions(data=tmp_path)).events())
    assert [type(event) for event in events] == [Request, Click, RawRecord]


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("", MissingInput, "holds no rows"),
        (mind_line(1, "U1", "11/15/2019 9:00:00 AM", shown="N1 N2"), UsageError, "does not say whether it was clicked"),
        ("id\tuser\n" * 3, UsageError, "2 tab-separated fields"),
        ("\x00\x01\x02" * 100, UsageError, "holds no impressions where they are looked for"),
    ],
)
def test_a_file_without_an_impression_in_its_first_lines_is_refused(
    tmp_path: Path, text: str, error: type[UsageError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as refused:
        opened(tmp_path, text)
    assert refused.value.hint and refused.value.exit_code == 2


def test_a_torn_gzip_file_is_named_when_it_is_met(tmp_path: Path) -> None:
    lines = "".join(mind_line(n, f"U{n}", "11/15/2019 9:00:00 AM", f"N{n}") for n in range(20_000))
    whole = gzip.compress(lines.encode())
    (tmp_path / "behaviors.tsv.gz").write_bytes(whole[: len(whole) // 2])
    source = open_source(SourceOptions(data=tmp_path))
    with pytest.raises(MissingInput, match="is torn after line"):
        list(source.events())
