"""Whatever bytes a foreign topic holds: an event, or a named refusal that the pipeline will repeat. Nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import events
from contracts.errors import EventRejected
from streams.attach.intake import Intake, Reader
from streams.attach.mapping import Origin
from streams.attach.settings import AnySource, ClickSource, ItemSource, RequestSource
from streams.log import RawRecord
from tests.support import foreign

AT = Origin("t", 0, 7, foreign.NOON)
GOOD = [
    foreign.json_value(foreign.click(1)),
    foreign.framed(foreign.json_value(foreign.click(1)), 4),
    foreign.avro_value(foreign.click(1), None),
    foreign.avro_value(foreign.click(1)),
    foreign.protobuf_value(foreign.click(1), None),
    foreign.protobuf_value(foreign.click(1)),
]
REQUEST: dict[str, Any] = {
    "user": "a",
    "request": "b",
    "time": "c",
    "shown": "d[].e",
    "rejected": "f[]",
    "stage": "g[]",
}
ITEM: dict[str, Any] = {"item": "a", "available_from": "b", "discrete": {"x": "c"}, "continuous": {"y": "d"}}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[AnySource]:
    folder: Path = tmp_path_factory.mktemp("schemas")
    schema, messages = foreign.write_avro_schema(folder), foreign.write_descriptor_set(folder)
    formats: list[dict[str, Any]] = [
        {},
        {"format": "avro", "schema_file": schema},
        {"format": "protobuf", "schema_file": messages, "message": foreign.MESSAGE},
    ]
    clicks = [
        ClickSource(topic="t", kind="click", framing=framing, **written, **foreign.PATHS)
        for written in formats
        for framing in ("none", "confluent")
    ]
    return [*clicks, RequestSource(topic="t", kind="request", **REQUEST), ItemSource(topic="t", kind="item", **ITEM)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good value of some format with a few bytes changed, or cut off, or more of them."""
    value = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 4))):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(0, len(value)))]) + draw(st.binary(max_size=6))


def judge(sources: list[AnySource], value: bytes | None) -> None:
    for source in sources:
        event, why, _ = Reader(source).read(value, AT)
        assert (event is None) <= (why is not None)
        (sent,) = Intake([source]).take(value, AT)
        try:
            events.decode(sent.value if isinstance(sent, RawRecord) else events.encode(sent))
        except EventRejected:
            assert why is not None
        else:
            assert why is None and event is not None


@settings(max_examples=200, deadline=None)
@given(value=st.one_of(damaged(), st.binary(max_size=60)))
def test_any_bytes_are_an_event_or_a_named_refusal(sources: list[AnySource], value: bytes) -> None:
    judge(sources, value)


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("2025-10-09"))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcdefg"), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(record=st.dictionaries(st.sampled_from([*"abcdefg", "visitor", "sku", "at"]), TREES))
def test_any_json_is_an_event_or_a_named_refusal(sources: list[AnySource], record: dict[str, Any]) -> None:
    judge(sources, foreign.json_value(record))


def test_a_good_value_of_each_format_is_an_event(sources: list[AnySource]) -> None:
    read = [Reader(source).read(value, AT) for source, value in zip(sources, GOOD, strict=False)]
    assert [outcome.why for outcome in read] == [None] * len(GOOD)
    assert len({events.encode(outcome.event) for outcome in read if outcome.event}) == 1
