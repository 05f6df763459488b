"""What `check-source` says of records, and how ticks and partitions keep step."""

from __future__ import annotations

import time
from typing import Any

import pytest
from kafka import TopicPartition

from contracts.events import Click
from streams.attach.check import Report, judge
from streams.attach.intake import Reader
from streams.attach.look import Seen
from streams.attach.mapping import Origin
from streams.attach.pace import AHEAD_MS, Pace
from streams.attach.report import print_report
from streams.attach.settings import AnySource, ClickSource, RequestSource
from streams.attach.ticker import Ticker
from streams.log import RawRecord
from tests.support import foreign
from tests.support.foreign import NOON

CLICKS = [foreign.click(number) for number in range(20)]


def table(**more: Any) -> ClickSource:
    return ClickSource(**{"kind": "click", "topic": "shop", **foreign.PATHS, **more})


def report_of(source: AnySource, records: list[dict[str, Any] | bytes], key: bytes = b"session") -> Report:
    reader, report = Reader(source), Report(source.topic, source.kind, 4, 8)
    values = (record if isinstance(record, bytes) else foreign.json_value(record) for record in records)
    seen = [Seen(Origin("shop", 0, offset, NOON), key, value) for offset, value in enumerate(values)]
    judge(report, source, [(one, reader.read(one.value, one.origin)) for one in seen])
    return report


def test_a_table_that_reads_all_its_records_is_fine() -> None:
    report = report_of(table(), list(CLICKS))
    assert (report.fine, report.looked_at, report.mapped, len(report.examples)) == (True, 20, 20, 10)
    assert '"item_id":"11"' in report.examples[0].event and report.examples[0].record == "shop/0/10"


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"user": "visitor.uid"}, 'user = "visitor.id"'),
        ({"user": "customer"}, 'user = "visitor.id"'),
        ({"time": "zzz"}, 'time = "…"  # the record has: uuid, visitor.id, sku, at, device, scroll'),
        ({"item": "SKU"}, 'item = "sku"'),
        ({"continuous": {"age": "device"}}, 'continuous = { age = "…" }'),
        ({"time_unit": "s", "ingest": ""}, 'time_unit = "ms"'),
        ({"time_unit": "iso"}, 'time_unit = "ms"'),
        ({"time": "device"}, 'time = "…"'),
        ({"framing": "confluent"}, 'framing = "none"'),
        ({"key": "user"}, 'key = "other"'),
        ({"where": {"device": "tv"}}, 'where = { "device" = "phone" }'),
    ],
)
def test_a_wrong_line_is_told_with_the_line_to_write(wrong: dict[str, Any], line: str) -> None:
    report = report_of(table(**wrong), list(CLICKS))
    assert not report.fine
    assert line in report.problems[0].line


def test_a_registrys_header_that_was_not_expected_is_told() -> None:
    report = report_of(table(), [foreign.framed(foreign.json_value(CLICKS[0]), 3)])
    assert [problem.line for problem in report.problems] == ['framing = "confluent"']
    report = report_of(table(framing="confluent", schema_ids=(1,)), [foreign.framed(foreign.json_value(CLICKS[0]), 3)])
    assert [problem.line for problem in report.problems] == ["schema_ids = [1, 3]"]


def test_a_few_foreign_records_do_not_get_a_line_that_would_lose_all_the_others() -> None:
    framed = [foreign.framed(foreign.json_value(click), 3) for click in CLICKS]
    few: list[dict[str, Any] | bytes] = [b"garbage", {**CLICKS[0], "sku": None}]
    report = report_of(table(framing="confluent"), [*framed, *few])
    assert [(problem.key, problem.line) for problem in report.problems] == [("format", "")] * 2
    assert report_of(table(), [*CLICKS[:2], *framed]).problems[0].line == 'framing = "confluent"'


def test_an_old_log_in_a_new_topic_is_told_to_take_its_own_times() -> None:
    old = [{**click, "at": click["at"] - 10 * 86_400_000} for click in CLICKS]
    report = report_of(table(ingest=""), list(old))
    assert [(problem.line, problem.records) for problem in report.problems] == [('ingest = "at"', 20)]


def test_two_wrong_lines_are_two_problems_though_one_hides_the_other() -> None:
    report = report_of(table(user="visitor.uid", time_unit="s"), list(CLICKS))
    assert [problem.line for problem in report.problems] == ['user = "visitor.id"', 'time_unit = "ms"']


def test_what_the_settings_leave_out_is_told_with_what_it_costs() -> None:
    bare = table(event_id="", ingest="", discrete={}, continuous={}, request="uuid")
    costs = "\n".join(report_of(bare, [{**click, "uuid": ""} for click in CLICKS]).costs)
    for sentence in ("no event_id", "no ingest", "no discrete", 'request = "uuid" is empty in 20 of 20'):
        assert sentence in costs
    assert "no request id: all clicks are direct" in "\n".join(report_of(table(), list(CLICKS)).costs)
    asked = RequestSource(topic="s", kind="request", user="visitor.id", request="uuid", time="at")
    assert "no rejected: no hard negatives" in report_of(asked, list(CLICKS)).costs


def test_a_key_that_is_the_user_id_is_told() -> None:
    one = [foreign.click(number, users=1) for number in range(9)]
    assert report_of(table(key="user"), list(one), b"u0").fine
    assert 'key = "user" would say so' in "\n".join(report_of(table(), list(one), b"u0").costs)


def test_a_topic_without_records_is_not_fine() -> None:
    report = report_of(table(), [])
    assert [problem.reason for problem in report.problems] == ["topic shop holds no records"]


def test_the_report_of_a_person_has_the_counts_the_records_and_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report_of(table(user="visitor.uid"), [*CLICKS, b"garbage"]))
    said = capsys.readouterr().out
    for sentence in ("0 of 21 records map", "4 partitions; the topic of the events has 8", "in 20 of 21"):
        assert sentence in said
    assert 'write: user = "visitor.id"' in said
    assert "such as shop/0/20: b'garbage'" in said


def at(partition: int) -> TopicPartition:
    return TopicPartition("shop", partition)


def clicks(*seconds: int) -> list[Click | RawRecord]:
    return [Click("u", f"i{second}", NOON + second * 1000, NOON + second * 1000) for second in seconds]


def test_records_of_several_partitions_go_on_by_their_times_and_those_of_one_in_their_order() -> None:
    pace = Pace()
    raw = RawRecord(b"bad")
    ordered = pace.ordered({at(0): [*clicks(5, 3), raw], at(1): clicks(4, 6)})
    assert [one.event for one in ordered] == [*clicks(4), *clicks(5, 3), raw, *clicks(6)]


def test_a_partition_that_is_far_ahead_of_one_with_records_waiting_has_to_wait() -> None:
    pace = Pace()
    pace.ordered({at(0): clicks(0), at(1): clicks(AHEAD_MS // 1000 + 1), at(2): clicks(AHEAD_MS // 1000)})
    assert pace.ahead({at(0), at(1)}) == {at(1)}
    assert pace.ahead({at(1)}) == pace.ahead(set()) == set()
    pace.keep({at(1)})
    assert pace.ahead({at(0), at(1)}) == set()


class Consumer:
    """Answers as a consumer that reads partition 0, in a group that reads partition 1 too."""

    def __init__(self) -> None:
        self.own = {at(0)}
        self.ends = {at(0): 10, at(1): 20}
        self.read = {at(0): 0, at(1): 0}

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {one: self.ends[one] for one in partitions}

    def assignment(self) -> set[TopicPartition]:
        return self.own

    def position(self, partition: TopicPartition) -> int:
        assert partition in self.own
        return self.read[partition]

    def committed(self, partition: TopicPartition) -> int | None:
        return self.read[partition] or None


def test_a_tick_waits_until_the_group_has_read_all_that_was_there_at_the_last_look() -> None:
    consumer, ticker = Consumer(), Ticker(5, [at(0), at(1)])
    before = time.time_ns() // 1_000_000
    assert ticker.next_tick(consumer) is None  # the first look
    after = time.time_ns() // 1_000_000
    consumer.read[at(0)] = 10
    assert ticker.next_tick(consumer) is None
    consumer.read[at(1)], consumer.ends[at(1)] = 20, 90
    told = ticker.next_tick(consumer)
    assert told is not None and before <= told <= after
    assert ticker.next_tick(consumer) is None  # 70 new records are on their way


def test_a_tick_is_never_behind_what_was_sent_and_follows_no_clock_that_is_ahead() -> None:
    consumer, ticker = Consumer(), Ticker(5, [at(0), at(1)])
    consumer.read = dict(consumer.ends)
    ticker.next_tick(consumer)
    sent = time.time_ns() // 1_000_000
    ticker.sent(sent)
    ticker.sent(sent + 3_600_000)
    assert (ticker.next_tick(consumer) or 0) >= sent
    assert (ticker.next_tick(consumer) or 0) < sent + 3_600_000


def test_only_who_reads_the_first_partition_ticks() -> None:
    consumer, ticker = Consumer(), Ticker(5, [at(0), at(1)])
    consumer.read = dict(consumer.ends)
    ticker.next_tick(consumer)
    consumer.own = {at(1)}
    assert ticker.next_tick(consumer) is None
    consumer.own = {at(0)}
    assert ticker.next_tick(consumer) is None  # it looks anew
    assert ticker.next_tick(consumer) is not None
