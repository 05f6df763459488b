"""What is rejected and why, what is accepted, and who notices a flipped bit on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from contracts import events
from contracts.errors import EventRejected
from contracts.events import (
    EARLIEST,
    LATEST,
    MAX_NESTING,
    MAX_TIMES_APART,
    MAX_VALUE_BYTES,
    REASONS,
    Click,
    Context,
    Request,
    Tick,
)
from tests.support.damage import flips, truncations

T = 1_507_500_000_000
CLICK = {"kind": "click", "user_id": "u", "item_id": "i", "event_time": T, "ingest_time": T}
REQUEST = {"kind": "request", "request_id": "r", "user_id": "u", "event_time": T, "ingest_time": T}
TICK = b'{"kind":"tick","ingest_time":1507500000000%s}'
YEAR_1970, YEAR_2100 = 1_000_000, 4_102_444_800_000


def click(**fields: object) -> bytes:
    return msgspec.json.encode({**CLICK, **fields})


def request(**fields: object) -> bytes:
    return msgspec.json.encode({**REQUEST, **fields})


def continuous(number: bytes) -> bytes:
    return click(context={"continuous": {"age": 4711}}).replace(b"4711", number)


NASTY: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "empty"),
    "an empty value": (b"", "empty"),
    "a value of 5 MB": (b"x" * 5_000_000, "too_large"),
    "an event of 5 MB": (click(x="y" * 5_000_000), "too_large"),
    "one byte too many": (click() + b" " * (MAX_VALUE_BYTES - len(click()) + 1), "too_large"),
    "noise": (bytes(range(256)), "not_json"),
    "NULs": (b"\0" * 40, "not_json"),
    "half an event": (click()[:-9], "not_json"),
    "two events": (click() * 2, "not_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + click(), "not_json"),
    "UTF-16": (click().decode().encode("utf-16"), "not_json"),
    "latin-1": (click(user_id="é").decode().encode("latin-1"), "not_json"),
    "an encoded surrogate": (click().replace(b'"u"', b'"\xed\xa0\x80"'), "not_json"),
    "half a surrogate pair": (click().replace(b'"u"', b'"\\ud800"'), "not_json"),
    "half a surrogate pair in an unknown key": (TICK % b',"\\udc00":1', "not_json"),
    "a raw NUL in a text": (click().replace(b'"u"', b'"\0"'), "not_json"),
    "NaN": (continuous(b"NaN"), "not_json"),
    "Infinity": (continuous(b"Infinity"), "not_json"),
    "-Infinity": (continuous(b"-Infinity"), "not_json"),
    "brackets to the moon": (b"[" * 1_000_000, "not_json"),
    "objects to the moon": (b'{"a":' * 200_000, "not_json"),
    "deep nesting in an unknown field": (TICK % (b',"x":' + b"[" * 50_000 + b"]" * 50_000), "not_json"),
    "brackets one deeper than allowed": (TICK % (b',"x":' + b"[" * MAX_NESTING + b"]" * MAX_NESTING), "not_json"),
    "an array": (b"[" + click() + b"]", "wrong_type"),
    "a text": (b'"click"', "wrong_type"),
    "a number": (b"17", "wrong_type"),
    "null": (b"null", "wrong_type"),
    "an empty object": (b"{}", "unknown_kind"),
    "a kind that nobody knows": (click(kind="purchase"), "unknown_kind"),
    "a kind that is a number": (click(kind=1), "unknown_kind"),
    "a kind named twice, differently": (b'{"kind":"item",' + TICK[1:] % b"", "unknown_kind"),
    "no user": (b'{"kind":"click"}', "wrong_type"),
    "an empty user": (click(user_id=""), "wrong_type"),
    "a null user": (click(user_id=None), "wrong_type"),
    "a user who is an object": (click(user_id={}), "wrong_type"),
    "a user of 257 letters": (click(user_id="u" * 257), "wrong_type"),
    "a stage that nobody knows": (request(rejected=[{"item_id": "i", "stage": "Invalid value"}]), "wrong_type"),
    "a stage that reads like a kind": (request(rejected=[{"item_id": "i", "stage": "x` - at `$.kind`"}]), "wrong_type"),
    "a negative position": (request(shown=[{"item_id": "i", "position": -1}]), "wrong_type"),
    "too many shown": (request(shown=[{"item_id": "i", "position": 1}] * 1001), "wrong_type"),
    "a feature name with a line end": (click(context={"discrete": {"a\n": "b"}}), "wrong_type"),
    "a feature name with a slash": (click(context={"discrete": {"a/b": "c"}}), "wrong_type"),
    "a time that is text": (click(event_time=str(T)), "wrong_type"),
    "a time with a fraction": (click(event_time=T + 0.5), "wrong_type"),
    "a time that is true": (click(event_time=True), "wrong_type"),
    "a time of 5000 digits": (TICK.replace(b"1507500000000", b"9" * 5000) % b"", "wrong_type"),
    "a time of 1e999": (TICK.replace(b"1507500000000", b"1e999") % b"", "wrong_type"),
    "a number of 400 digits": (continuous(b"9" * 400), "wrong_type"),
    "1e999": (continuous(b"1e999"), "wrong_type"),
    "more than a float32 holds": (continuous(b"1e39"), "bad_number"),
    "less than a float32 holds": (continuous(b"-1e39"), "bad_number"),
    "schema 2": (click(schema=2), "unknown_schema"),
    "a schema of 500 digits": (TICK % (b',"schema":' + b"9" * 500), "unknown_schema"),
    "1970": (click(event_time=YEAR_1970, ingest_time=YEAR_1970), "bad_time"),
    "a tick in 1970": (b'{"kind":"tick","ingest_time":0}', "bad_time"),
    "2100": (click(event_time=YEAR_2100, ingest_time=YEAR_2100), "bad_time"),
    "an event of 1970 that came now": (click(event_time=YEAR_1970), "bad_time"),
    "seconds for milliseconds": (click(event_time=T // 1000, ingest_time=T // 1000), "bad_time"),
    "a negative time": (click(event_time=-1), "bad_time"),
    "a click of three days ago": (click(event_time=T - 3 * 86_400_000), "times_apart"),
    "a click of the day after tomorrow": (click(event_time=T + MAX_TIMES_APART + 1), "times_apart"),
}


@pytest.mark.parametrize(("value", "reason"), NASTY.values(), ids=NASTY)
def test_it_is_rejected_for_its_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(EventRejected) as rejection:
        events.decode(value)
    assert rejection.value.reason == reason
    assert rejection.value.detail


@pytest.mark.parametrize("value", [None, b"x", b"[" * 1000, b"[" * 201, b"\xff", click(schema=2), click(event_time=-1)])
def test_a_rejection_holds_nothing_of_the_values_that_were_decoded_with_it(value: bytes | None) -> None:
    (rejection,) = events.decode_each([value])
    assert isinstance(rejection, EventRejected)
    assert (rejection.__traceback__, rejection.__context__, rejection.__cause__) == (None, None, None)


def test_every_reason_is_met_by_a_value_or_by_the_partition_check() -> None:
    assert {reason for _, reason in NASTY.values()} | {"wrong_partition"} == set(REASONS)


@pytest.mark.parametrize("time", [EARLIEST, LATEST - 1])
def test_the_first_and_the_last_millisecond_are_accepted(time: int) -> None:
    assert events.decode(events.encode(Tick(time))) == Tick(time)


@pytest.mark.parametrize("time", [EARLIEST - 1, LATEST])
def test_the_milliseconds_outside_are_not(time: int) -> None:
    with pytest.raises(EventRejected, match="bad_time"):
        events.decode(events.encode(Tick(time)))


@pytest.mark.parametrize("apart", [-MAX_TIMES_APART, MAX_TIMES_APART])
def test_times_may_be_as_far_apart_as_the_limit(apart: int) -> None:
    assert events.decode(click(event_time=T + apart)) == Click("u", "i", T + apart, T)


def test_unknown_fields_are_ignored_and_nest_up_to_the_limit() -> None:
    nested = b',"x":' + b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1)
    assert events.decode(TICK % nested) == Tick(T)


@pytest.mark.parametrize("opener", [b"[", b'{"y":'], ids=["arrays", "objects"])
@pytest.mark.parametrize("items", [1, 30, 1000])
def test_unknown_fields_of_an_item_nest_up_to_the_same_limit(items: int, opener: bytes) -> None:
    """However many items there are: what they take is known not to nest, and what stands in them is not."""
    closer = b"]" if opener == b"[" else b"}"

    def nested(levels: int) -> bytes:
        inside = b'"position":1,"x":' + opener * levels + b"1" + closer * levels + b"}"
        return request(shown=[{"item_id": "i", "position": 1}] * items).replace(b'"position":1}', inside, 1)

    around = 3  # the event, the list and the item
    assert isinstance(events.decode(nested(MAX_NESTING - around)), Request)
    with pytest.raises(EventRejected, match="nest deeper"):
        events.decode(nested(MAX_NESTING - around + 1))


def test_brackets_inside_of_texts_do_not_nest() -> None:
    open_brackets = '["\\' + "[{" * 120
    assert events.decode(click(user_id=open_brackets)) == Click(open_brackets, "i", T, T)


def test_many_shown_items_do_not_nest() -> None:
    shown = [{"item_id": f"i{n}", "position": n} for n in range(1000)]
    event = events.decode(request(shown=shown))
    assert isinstance(event, events.Request)
    assert len(event.shown) == 1000


def test_of_a_field_named_twice_the_last_counts() -> None:
    assert events.decode(b'{"user_id":"first",' + click()[1:]) == Click("u", "i", T, T)


def test_a_number_is_read_as_the_float32_that_a_sample_holds() -> None:
    event = events.decode(continuous(b"0.1"))
    assert event == Click("u", "i", T, T, context=Context({}, {"age": 0.10000000149011612}))


def test_a_number_too_small_for_a_float32_is_zero() -> None:
    assert events.decode(continuous(b"1e-320")) == Click("u", "i", T, T, context=Context({}, {"age": 0.0}))


def test_a_nul_inside_of_an_id_is_kept() -> None:
    assert events.decode(click(user_id="a\0b")) == Click("a\0b", "i", T, T)


def test_the_verdict_on_nesting_does_not_depend_on_the_stack() -> None:
    value = TICK % (b',"x":' + b"[" * 900 + b"]" * 900)

    def reason(frames: int) -> str:
        if frames:
            return reason(frames - 1)
        with pytest.raises(EventRejected) as rejection:
            events.decode(value)
        return str(rejection.value)

    assert reason(0) == reason(sys.getrecursionlimit() // 4)


VALUES = [click(), request(shown=[{"item_id": "i", "position": 0}]), TICK % b""]


def batch(values: list[bytes], compression: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 20)
    for number, value in enumerate(values):
        assert builder.append(number, T, b"u", value, []) is not None
    return bytes(builder.build())


def fetched(data: bytes) -> Iterator[bytes]:
    """The values of a fetch, as aiokafka's consumer takes them: it checks the CRC of each batch."""
    batches: Any = MemoryRecords(data)
    while batches.has_next():
        found = batches.next_batch()
        if not found.validate_crc():
            raise CorruptRecordException("wrong CRC")
        yield from (record.value for record in found)


codecs = pytest.mark.parametrize("compression", range(5), ids=["plain", "gzip", "snappy", "lz4", "zstd"])


@codecs
def test_a_record_batch_cut_off_at_any_byte_gives_no_event(compression: int) -> None:
    data = batch(VALUES, compression)
    assert list(fetched(data)) == VALUES
    for torn in truncations(data):
        assert list(fetched(torn)) == []


@codecs
def test_a_flipped_bit_in_a_record_batch_is_noticed_by_its_crc_or_changes_no_event(compression: int) -> None:
    # Not under the CRC: base offset (8 bytes) and leader epoch (4), which the broker writes, length (4), magic (1).
    before_crc = 17
    for at, flipped in flips(batch(VALUES, compression)):
        try:
            values = list(fetched(flipped))
        except CorruptRecordException:
            continue
        assert at < before_crc
        assert values in ([], VALUES)  # none: the length says that more is to come
