"""Sinks that fail: what others lost, doubled or never retracted is neither lost, doubled nor kept here."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts import served
from contracts.bases import BaseStore
from contracts.errors import Corrupt, MissingServer
from contracts.layout import Layout
from contracts.rollback import rollback
from publisher import sink_choice, sinks
from publisher.promotion import Order
from publisher.schedule import Publishing, Schedule
from publisher.settings import PublisherSettings, Sinks
from publisher.sinks import follow, read_cursor, unpack_row
from tests.support.bases import Tiny, append_round, tiny_base
from tests.support.sinks import MemorySink, check_holds_what_is_served, publish, rows_in

MOST_CALLS = 40


def story(layout: Layout, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> MemorySink:
    """Publish, roll back, publish; the sink fails at one call and follows again when it is back."""
    monkeypatch.setattr(sinks, "BATCH", 5)
    base, sink = tiny_base(layout), MemorySink(fails_at=fails_at)

    def follow_at_last() -> None:
        try:
            follow(layout, sink)
        except MissingServer:
            follow(layout, sink)
        check_holds_what_is_served(layout, sink)

    publish(layout)
    follow_at_last()
    for seed in (1, 2):
        append_round(layout, base, seed)
        append_round(layout, base, seed + 10)
        publish(layout)
        follow_at_last()
    rollback(layout, 2, "someone", "a test")
    follow_at_last()
    append_round(layout, base, 3)
    publish(layout)
    follow_at_last()
    return sink


def test_touched_rows_are_not_lost_when_a_push_fails_at_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = story(Layout(tmp_path / "0"), monkeypatch, 0)
    assert 20 < undisturbed.calls <= MOST_CALLS
    assert undisturbed.pointer is not None
    for call in range(1, undisturbed.calls + 1):
        sink = story(Layout(tmp_path / str(call)), monkeypatch, call)
        assert list(sink.held) == [sink.pointer.generation if sink.pointer else ""]  # nothing else is left lying about


@pytest.fixture
def half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Layout, MemorySink]:
    """A sink that holds version 1 and some rows of version 2: the server went away meanwhile."""
    monkeypatch.setattr(sinks, "BATCH", 3)
    layout, sink = Layout(tmp_path), MemorySink()
    base = tiny_base(layout)
    publish(layout)
    follow(layout, sink)
    for seed in range(1, 5):
        append_round(layout, base, seed)
    publish(layout)
    sink.fails_at = sink.calls + 4
    with pytest.raises(MissingServer):
        follow(layout, sink)
    assert 2 in {version for version, *_ in rows_in(sink, [f"u{n}" for n in range(100)]).values()}
    return layout, sink


def test_what_ran_ahead_of_the_cursor_is_retracted_when_it_was_rolled_back_meanwhile(
    half_written: tuple[Layout, MemorySink],
) -> None:
    layout, sink = half_written
    rollback(layout, 1, "someone", "a test")
    follow(layout, sink)
    check_holds_what_is_served(layout, sink)


def test_a_version_whose_rows_were_half_written_is_not_applied_by_a_later_one_without_them(
    half_written: tuple[Layout, MemorySink],
) -> None:
    layout, sink = half_written
    rollback(layout, 1, "someone", "a test")
    append_round(layout, BaseStore(layout).open("tiny"), 5)
    publish(layout)  # goes on from version 1, without the deltas that were half written
    follow(layout, sink)
    check_holds_what_is_served(layout, sink)


def test_a_sink_that_fails_only_falls_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, broken, well = Layout(tmp_path), MemorySink("broken"), MemorySink("well")
    base = tiny_base(layout)
    both = [("broken", lambda: broken), ("well", lambda: well)]
    monkeypatch.setattr(sink_choice, "chosen", lambda layout, settings: iter(both))
    said: list[str] = []
    schedule = Schedule(Publishing(layout, PublisherSettings(), Order("someone", "a test")), 1800.0, said.append)
    broken.fails_at = 1
    schedule.tick(0.0)
    assert "Sink broken falls behind: the sink is away." in said
    assert "Sink well has what is served: 20 rows were written." in said
    assert served.chain(layout).head_number() == 1
    append_round(layout, base, 1)
    schedule.tick(1800.0)
    for sink in (broken, well):
        check_holds_what_is_served(layout, sink)


def test_a_sink_of_another_run_folder_is_written_anew(tmp_path: Path) -> None:
    sink = MemorySink()
    for name, users in (("one", 20), ("two", 10)):
        layout = Layout(tmp_path / name)
        tiny_base(layout, Tiny(users=users))
        publish(layout)
        assert follow(layout, sink) == users
        check_holds_what_is_served(layout, sink)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"generation": 5}'])
def test_rubbish_in_the_place_of_a_cursor_is_named(data: bytes) -> None:
    with pytest.raises(Corrupt, match="the cursor of a sink"):
        read_cursor(data, "a sink")


def test_a_row_of_another_length_is_named() -> None:
    with pytest.raises(Corrupt, match=r"its length \(3 bytes\)"):
        unpack_row(b"abc", 8)


def test_the_address_of_redis_never_reaches_a_message(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tiny_base(layout)
    publish(layout)
    settings = PublisherSettings(sinks=Sinks(redis_url=SecretStr("redis://:secret@127.0.0.1:1/0")))
    said: list[str] = []
    sink_choice.follow_all(layout, settings, said.append)
    assert len(said) == 1
    assert "Sink redis falls behind: the Redis sink failed: ConnectionError" in said[0]
    assert "secret" not in said[0] + repr(settings)
