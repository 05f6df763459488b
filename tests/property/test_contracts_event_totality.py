"""Any bytes are an event or are rejected for a named reason, and which of the two depends on the bytes alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts import events
from contracts.errors import EventRejected
from contracts.events import REASONS, Click, Event, Item, Request, Tick
from tests.support import strategies

NAMES = """kind user_id item_id request_id event_time ingest_time context content shown rejected schema arm position
    served_version stage discrete continuous x"""
names = st.sampled_from(NAMES.split())
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | strategies.times
kinds = st.sampled_from(["request", "click", "tick", "item", "clicks", ""])
json_like = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=8))
objects = st.builds(lambda fields, kind: {**fields, "kind": kind}, st.dictionaries(names, json_like), kinds)


def outcome(value: bytes) -> Event | str:
    """The event, or the reason; any other error ends the test."""
    try:
        event = events.decode(value)
    except EventRejected as rejection:
        assert rejection.reason in REASONS
        return rejection.reason
    assert isinstance(event, Click | Request | Tick | Item)
    assert events.decode(events.encode(event)) == event
    return event


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_rejected(value: bytes) -> None:
    outcome(value)


@given(objects)
def test_any_object_is_an_event_or_rejected(value: dict[str, Any]) -> None:
    outcome(msgspec.json.encode(value))


@given(strategies.events, st.data())
def test_an_event_with_any_bytes_replaced_is_an_event_or_rejected(event: Event, data: st.DataObject) -> None:
    value = events.encode(event)
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, len(value)))
    outcome(value[:start] + data.draw(st.binary(max_size=8)) + value[end:])


@given(strategies.events, st.sampled_from(["user_id", "event_time", "context", "ingest_time", "schema"]), json_like)
def test_an_event_with_any_value_in_a_field_is_an_event_or_rejected(event: Event, name: str, value: Any) -> None:
    outcome(msgspec.json.encode({**msgspec.to_builtins(event), name: value}))


@given(st.integers(0, 400), st.sampled_from([b"[", b'{"a":']), st.booleans())
def test_what_nests_in_an_unknown_field_is_judged_alike_from_any_depth_of_the_stack(
    depth: int, opener: bytes, whole: bool
) -> None:
    closer = b"]" if opener == b"[" else b"}"
    nested = opener * depth + b"1" + (closer * depth if whole else b"")
    value = b'{"kind":"tick","ingest_time":1507500000000,"x":' + nested + b"}"
    deep = _at_depth(sys.getrecursionlimit() // 4, lambda: outcome(value))
    assert deep == outcome(value)


def _at_depth(frames: int, call: Callable[[], Event | str]) -> Event | str:
    return _at_depth(frames - 1, call) if frames else call()
