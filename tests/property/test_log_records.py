"""What `partitioned` promises about order, ticks and keys, for any log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from contracts.errors import Disorder, UsageError
from contracts.events import Click, Event, Item, Request, Tick, decode, encode
from contracts.partitions import murmur2, partition_of
from streams.log import LogRecord, RawRecord, boundaries, partitioned

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_700_000_000_000

users = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable())


@st.composite
def logs(draw: st.DrawFn) -> list[Event | RawRecord]:
    """Draw clicks with gaps of up to an hour, with bad rows among them."""
    now = NOON
    events: list[Event | RawRecord] = []
    for gap, user in draw(st.lists(st.tuples(st.integers(0, HOUR), users), max_size=20)):
        now += gap
        events.append(Click(user, f"i{gap % 7}", now, now))
        if gap % 5 == 0:
            events.append(RawRecord(b"no event"))
    return events


def ticks_of(records: list[LogRecord], partition: int) -> list[int]:
    return [record.ingest_time for record in records if record.partition == partition and is_tick(record)]


def is_tick(record: LogRecord) -> bool:
    return b'"kind":"tick"' in record.value


@given(st.binary(max_size=64))
def test_the_partitioner_is_kafkas_murmur2(key: bytes) -> None:
    assert murmur2(key) == kafka_murmur2(key)


@given(users, st.integers(1, 64))
def test_a_users_partition_is_the_one_that_kafkas_partitioner_picks(user: str, partitions: int) -> None:
    assert partition_of(user, partitions) == (kafka_murmur2(user.encode()) & 0x7FFFFFFF) % partitions


@given(logs(), st.integers(1, 5))
def test_the_same_log_gives_the_same_records(log: list[Event | RawRecord], partitions: int) -> None:
    assert list(partitioned(log, partitions)) == list(partitioned(iter(log), partitions))


@given(logs(), st.integers(1, 5))
def test_every_partition_gets_every_boundary_before_the_first_event_past_it(
    log: list[Event | RawRecord], partitions: int
) -> None:
    records = list(partitioned(log, partitions))
    ticked = [0] * partitions
    for record in records:
        if is_tick(record):
            assert ticked[record.partition] in (0, record.ingest_time - MINUTE)
            ticked[record.partition] = record.ingest_time
        elif record.key is not None:
            assert ticked == [record.ingest_time // MINUTE * MINUTE] * partitions


@given(logs(), st.integers(1, 5))
def test_the_order_of_a_users_events_is_kept_and_nothing_is_lost(log: list[Event | RawRecord], partitions: int) -> None:
    records = [record for record in partitioned(log, partitions) if not is_tick(record)]
    for partition in range(partitions):
        expected = [e for e in log if isinstance(e, Click) and partition_of(e.user_id, partitions) == partition]
        assert [decode(r.value) for r in records if r.partition == partition and r.key is not None] == expected
    assert sum(record.key is None for record in records) == sum(isinstance(event, RawRecord) for event in log)


@given(logs())
def test_the_ticks_of_a_partition_do_not_depend_on_the_number_of_partitions(log: list[Event | RawRecord]) -> None:
    assert ticks_of(list(partitioned(log, 1)), 0) == ticks_of(list(partitioned(log, 3)), 2)


def test_after_the_last_event_ticks_go_on_for_the_closing_time() -> None:
    times = ticks_of(list(partitioned([Click("u", "i", NOON, NOON)], 1)), 0)
    assert times[-1] - MINUTE < NOON + HOUR <= times[-1]


def test_with_no_closing_time_the_log_ends_with_its_last_event() -> None:
    records = list(partitioned([Click("u", "i", NOON, NOON)], 2, closing_ms=0))
    assert [is_tick(record) for record in records] == [True, True, False]


def test_a_log_of_nothing_gives_no_record() -> None:
    assert list(partitioned([], 3)) == []


def test_a_silence_of_a_year_costs_few_ticks_and_none_comes_after_its_end() -> None:
    times = list(boundaries(NOON, NOON + 365 * DAY, MINUTE))
    assert len(times) < 1440 + 31 * 48 + 366
    assert times == sorted(set(times)) and times[0] > NOON and times[-1] <= NOON + 365 * DAY


@given(st.integers(NOON, NOON + 40 * DAY), st.sampled_from([1000, MINUTE, 1_800_000]))
def test_every_midnight_in_a_silence_has_its_tick(until: int, tick_ms: int) -> None:
    midnights = range((NOON // DAY + 1) * DAY, until + 1, DAY)
    assert set(midnights) <= set(boundaries(NOON, until, tick_ms))


def test_disorder_is_refused_with_both_events_and_the_command_that_mends_it() -> None:
    log = [Click("u", "before", NOON, NOON), Click("u", "after", NOON - 1500, NOON - 1500)]
    with pytest.raises(Disorder, match=r"1\.500 s.*\"after\".*\"before\"") as refused:
        list(partitioned(log, 2))
    assert "zcat -f log.jsonl | python3 -c" in refused.value.hint


def test_permitted_disorder_passes_and_moves_no_time_back() -> None:
    log = [Click("u", "a", NOON, NOON), Click("u", "b", NOON - MINUTE, NOON - MINUTE)]
    records = [record for record in partitioned(log, 1, disorder_ms=MINUTE, closing_ms=0) if record.key]
    assert [record.ingest_time for record in records] == [NOON, NOON]


@pytest.mark.parametrize("time", [0, 4_100_000_000_000])
def test_an_event_of_an_impossible_time_is_passed_on_and_moves_no_time(time: int) -> None:
    log = [Click("u", "a", NOON, NOON), Click("u", "b", time, time), Click("u", "c", NOON + 1, NOON + 1)]
    records = list(partitioned(log, 1, closing_ms=0))
    assert [record.ingest_time for record in records if record.key] == [NOON, NOON, NOON + 1]
    assert encode(log[1]) in [record.value for record in records]


def test_ticks_of_the_log_itself_are_replaced_by_the_derived_ones() -> None:
    log: list[Event] = [Click("u", "a", NOON, NOON), Tick(NOON + 90_000)]
    derived = ticks_of(list(partitioned(log, 1, closing_ms=0)), 0)
    assert derived == [time // MINUTE * MINUTE for time in (NOON, NOON + MINUTE)]


def test_an_item_is_keyed_by_itself_and_a_request_by_its_user() -> None:
    log: list[Event] = [Item("article", NOON), Request("r", "reader", NOON, NOON)]
    assert [r.key for r in partitioned(log, 4, closing_ms=0) if r.key] == [b"article", b"reader"]


@pytest.mark.parametrize("tick_ms", [0, 7000, 3_600_000])
def test_a_tick_length_that_does_not_divide_half_an_hour_is_refused(tick_ms: int) -> None:
    with pytest.raises(UsageError, match="half an hour"):
        list(partitioned([], 1, tick_ms))
