"""From records of other people to our events: what maps, what does not, and with which words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import events
from contracts.errors import EventRejected, UsageError
from contracts.events import Click, Context, Event, Item, Rejected, Request, Shown
from contracts.settings import CONFIG_FOLDER
from streams.attach.intake import Intake, Outcome, Reader
from streams.attach.mapping import Origin
from streams.attach.settings import AnySource, ClickSource, ItemSource, RequestSource
from streams.log import RawRecord
from streams.settings import StreamsSettings
from tests.support import foreign
from tests.support.foreign import NOON
from tests.support.source_tree import ROOT

AT = Origin("shop.clicks", 3, 41, NOON + 70)
CLICK: dict[str, Any] = {"topic": "shop.clicks", "kind": "click", "user": "who", "item": "what", "time": "when"}
REQUEST: dict[str, Any] = {
    "topic": "shop.search",
    "kind": "request",
    "user": "who",
    "request": "id",
    "time": "when",
    "shown": "hits[].sku",
    "rejected": "dropped[].sku",
    "stage": "dropped[].by",
    "stages": {"L1": "pre_rank", "L2": "rank"},
    "arm": "test.arm",
    "served_version": "test.version",
}
ASKED = {
    "id": "r1",
    "who": "u1",
    "when": NOON,
    "hits": [{"sku": "a"}, {"sku": 7}],
    "dropped": [{"sku": "b", "by": "L1"}, {"sku": "c", "by": "rank"}],
    "test": {"arm": "fresh", "version": 12},
}


def read(source: AnySource, record: object) -> Outcome:
    return Reader(source).read(msgspec.json.encode(record), AT)


def event_of(source: AnySource, record: object) -> Event:
    event, why, _ = read(source, record)
    assert why is None, why
    assert event is not None
    return event


def why_not(source: AnySource, record: object) -> str:
    _, why, _ = read(source, record)
    return str(why)


def test_a_click_takes_its_fields_from_where_the_table_says() -> None:
    source = ClickSource(topic="shop.clicks", kind="click", **foreign.PATHS, request="search")
    assert event_of(source, {**foreign.click(5), "search": 99}) == Click(
        "u5", "6", NOON + 5000, NOON + 5000, "c5", "99", Context({"device": "phone"}, {"scroll": 0.5})
    )


def test_a_click_without_id_and_ingest_time_has_its_place_and_kafkas_time_for_them() -> None:
    click = event_of(ClickSource(**CLICK), {"who": 1, "what": 2, "when": NOON})
    assert click == Click("1", "2", NOON, NOON + 70, "shop.clicks/3/41")


@pytest.mark.parametrize(
    ("unit", "value"), [("ms", NOON), ("s", NOON // 1000), ("us", NOON * 1000), ("iso", "2025-10-09T08:53:20Z")]
)
def test_times_are_read_in_their_unit(unit: str, value: object) -> None:
    click = event_of(ClickSource(**CLICK, time_unit=unit), {"who": "u", "what": "i", "when": value})
    assert isinstance(click, Click) and click.event_time == NOON


def test_a_request_has_what_was_shown_in_order_and_what_was_rejected_with_its_stage() -> None:
    assert event_of(RequestSource(**REQUEST), ASKED) == Request(
        "r1",
        "u1",
        NOON,
        NOON + 70,
        Context(),
        (Shown("a", 0), Shown("7", 1)),
        (Rejected("b", "pre_rank"), Rejected("c", "rank")),
        "fresh",
        12,
    )


def test_a_request_without_stages_has_all_its_rejected_items_from_ranking() -> None:
    request = event_of(RequestSource(**{**REQUEST, "stage": ""}), ASKED)
    assert isinstance(request, Request) and {item.stage for item in request.rejected} == {"rank"}


def test_an_item_has_its_content_and_when_it_may_be_shown() -> None:
    source = ItemSource(
        topic="cms", kind="item", item="id", discrete={"section": "in"}, available_until="end", time_unit="s"
    )
    item = event_of(source, {"id": 7, "in": "sports", "end": NOON // 1000})
    assert item == Item("7", NOON + 70, Context({"section": "sports"}), 0, NOON)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"what": 2, "when": NOON}, 'user = "who": the record has what, when, and no who'),
        ({"who": "", "what": 2, "when": NOON}, 'user = "who": it is empty'),
        ({"who": [1], "what": 2, "when": NOON}, 'user = "who": [1] is neither text nor a whole number'),
        ({"who": 1, "what": 2.5, "when": NOON}, 'item = "what": 2.5 is neither text nor a whole number'),
        ({"who": 1, "what": 2, "when": "noon"}, "time = \"when\": time 'noon' is not a number of milliseconds"),
        ({"who": 1, "what": 2, "when": 5}, "bad_time: event_time 5 ms is not between 1990 and 2099"),
        ({"who": 1, "what": 2, "when": NOON - 10**9}, "times_apart"),
        ({"who": "u" * 300, "what": 2, "when": NOON}, "wrong_type"),
        (7, 'user = "who": the record is 7, and no who'),
    ],
)
def test_what_does_not_map_is_told_by_key_path_and_reason(record: object, sentence: str) -> None:
    assert sentence in why_not(ClickSource(**CLICK), record)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hits": [{"sku": "a"}, {}]}, 'shown = "hits[].sku": 1 of 2 elements hold nothing there'),
        ({"dropped": [{"sku": "b", "by": "L9"}]}, "'L9' is no stage: say in `stages` whether it is pre_rank or rank"),
        ({"test": {"version": -1}}, 'served_version = "test.version": -1 is no version number'),
        ({"test": {"version": 10**30}}, "is no version number"),
    ],
)
def test_a_request_that_does_not_map_is_told_likewise(change: dict[str, Any], sentence: str) -> None:
    assert sentence in why_not(RequestSource(**REQUEST), {**ASKED, **change})


def test_stages_that_are_not_one_for_each_rejected_item_are_refused() -> None:
    source = RequestSource(**{**REQUEST, "stage": "by[]"})
    record = {**ASKED, "by": ["L1", "L1", "L2"]}
    assert why_not(source, record) == 'stage = "by[]": 3 values for 2 rejected items'


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_a_value_is_told_so(value: bytes | None) -> None:
    assert str(Reader(ClickSource(**CLICK)).read(value, AT).why) == "a record without a value"


def test_what_does_not_map_travels_on_and_the_decoder_rejects_it() -> None:
    (raw,) = Intake([ClickSource(**CLICK)]).take(b'{"who":1}', AT)
    assert isinstance(raw, RawRecord)
    assert raw.value.startswith(b'bad row: shop.clicks/3/41: item = "what": the record has who, and no what: {"who":1}')
    with pytest.raises(EventRejected, match="not_json"):
        events.decode(raw.value)


def test_an_event_that_the_pipeline_will_refuse_travels_on_as_an_event_so_that_it_is_refused_by_its_reason() -> None:
    (event,) = Intake([ClickSource(**CLICK)]).take(b'{"who":1,"what":2,"when":5}', AT)
    assert isinstance(event, Click)
    with pytest.raises(EventRejected, match="bad_time"):
        events.decode(events.encode(event))


def test_one_topic_of_two_kinds_is_told_apart_by_what_its_records_hold() -> None:
    tables: list[AnySource] = [
        ClickSource(**CLICK, where={"type": "click"}),
        RequestSource(**{**REQUEST, "topic": "shop.clicks"}, where={"type": "search"}),
    ]
    intake = Intake(tables)

    def kinds(record: dict[str, Any]) -> list[str]:
        return [type(event).__name__ for event in intake.take(msgspec.json.encode(record), AT)]

    assert kinds({"type": "click", "who": 1, "what": 2, "when": NOON}) == ["Click"]
    assert kinds({**ASKED, "type": "search"}) == ["Request"]
    assert kinds({"type": "scroll"}) == []
    assert kinds({"type": "click"}) == ["RawRecord"]


def test_two_tables_of_a_topic_have_to_say_which_records_they_mean() -> None:
    with pytest.raises(UsageError, match="2 \\[\\[source\\]\\] tables, and not all say which records they mean"):
        Intake([ClickSource(**CLICK), ClickSource(**CLICK, where={"a": "b"})])
    with pytest.raises(UsageError, match="there is no \\[\\[source\\]\\] table"):
        Intake([])


CLICK_TABLE = '[[source]]\ntopic = "t"\nkind = "click"\nuser = "u"\nitem = "i"\ntime = "at"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CLICK_TABLE + 'usr = "x"', "'source[1].click.usr' of stage streams: there is no such setting"),
        (CLICK_TABLE + 'shown = "x[]"', "'source[1].click.shown' of stage streams: there is no such setting"),
        (
            CLICK_TABLE + CLICK_TABLE.replace('item = "i"\n', ""),
            "'source[2].click.item' of stage streams: Field required",
        ),
        (CLICK_TABLE.replace('kind = "click"\n', ""), "'source[1]' of stage streams: it does not say its kind"),
        (CLICK_TABLE.replace('"u"', '"a..b"'), "'source[1].click.user' of stage streams: 'a..b' is no path"),
        (CLICK_TABLE.replace('"u"', '"a[].b"'), "'a[].b' leads to a list: name one of its elements, like [0]"),
        (CLICK_TABLE + 'time_unit = "days"', "'source[1].click.time_unit' of stage streams"),
        (CLICK_TABLE + 'format = "avro"', "format avro needs schema_file"),
        (CLICK_TABLE + 'format = "protobuf"\nschema_file = "x"', "format protobuf needs message"),
        (CLICK_TABLE + 'schema_file = "x"', "format json has no use for schema_file"),
        (CLICK_TABLE + "schema_ids = [1]", 'set framing = "confluent"'),
        (CLICK_TABLE + 'discrete = { "a b" = "x" }', "source[1].click.discrete"),
    ],
)
def test_a_table_that_says_something_wrong_is_an_error_that_names_table_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path))
    (tmp_path / "streams.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        StreamsSettings.load()
    assert sentence in str(refused.value)


def test_the_example_in_the_readme_maps_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own topics")[2].partition("\n## ")[0]
    (tmp_path / "streams.toml").write_text(told.partition("```toml\n")[2].partition("```")[0])
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path))
    (source,) = StreamsSettings.load().source
    value = re.findall(r'`(\{"type".*?\}\})`', told)[0].encode()
    event, why, _ = Reader(source).read(value, AT)
    assert (event, why) == (
        Click("u7", "9", NOON, NOON + 70, "shop.clicks/3/41", "", Context({"device": "phone"})),
        None,
    )


def test_the_example_in_the_settings_file_is_a_table_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "infra" / "config" / "streams.toml").read_text(encoding="utf-8")
    shown = text[text.index("# [[source]]") :].replace("\n# ", "\n").removeprefix("# ")
    (tmp_path / "streams.toml").write_text(shown)
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path))
    (source,) = StreamsSettings.load().source
    click = {"type": "click", "visitor": {"id": "u"}, "sku": 5, "at": "2025-10-09T08:53:20Z", "page": {"scroll": 1}}
    assert event_of(source, click) == Click(
        "u", "5", NOON, NOON + 70, "shop.clicks/3/41", "", Context({}, {"scroll": 1.0})
    )
