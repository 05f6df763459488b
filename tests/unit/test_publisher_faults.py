"""Publishers and readers that sleep, race, meet a full disk or a clock that goes back: the old version or the new."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contracts import deltas, served
from contracts.bases import OpenBase
from contracts.errors import PublishRefused
from contracts.layout import Layout
from publisher import promotion
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import append_round, tiny_base

SETTINGS, ORDER = PublisherSettings(), Order("someone", "a test")
EXACT = ServingSettings(search="exact")
PUBLISH = "import sys; from publisher.commands import once; sys.exit(once(sys.argv[1:]))"
USERS = [f"u{n}" for n in range(20)]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    made = tiny_base(layout)
    publish_once(layout, SETTINGS, ORDER)
    return made


def answers(retriever: Retriever) -> list[object]:
    return [(answer.delta, answer.clicks, answer.items) for u in USERS for answer in [retriever.retrieve(u, 9)]]


def asleep_at(layout: Layout, point: str) -> subprocess.Popen[str]:
    """Return a publisher that has stopped itself at a point, and sleeps until it is sent SIGCONT."""
    environment = {**os.environ, "FRESHET_CRASH_AT": f"stop:{point}"}
    command = [sys.executable, "-c", PUBLISH, "--root", str(layout.root)]
    sleeper = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, status = os.waitpid(sleeper.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    return sleeper


def woken(sleeper: subprocess.Popen[str]) -> str:
    """Let it go on to its end, and return what it printed."""
    os.kill(sleeper.pid, signal.SIGCONT)
    printed, complaint = sleeper.communicate(timeout=60)
    assert sleeper.returncode == 0, complaint
    return printed


def test_a_version_that_is_looked_for_before_it_is_complete_is_loaded_when_it_is(
    layout: Layout, base: OpenBase
) -> None:
    append_round(layout, base, 1)
    retriever = Retriever(layout, EXACT)
    before = answers(retriever)
    sleeper = asleep_at(layout, "publish.promote.3")
    for _ in range(3):
        assert not retriever.refresh()
        assert answers(retriever) == before
    assert "Version 2 is served" in woken(sleeper)
    assert retriever.refresh()
    assert answers(retriever) == answers(Retriever(layout, EXACT)) != before


@pytest.mark.parametrize("point", ["publish.promote.0", "publish.promote.3"])
def test_a_publisher_that_slept_while_another_published_decides_anew(
    layout: Layout, base: OpenBase, point: str
) -> None:
    append_round(layout, base, 1)
    sleeper = asleep_at(layout, point)
    append_round(layout, base, 2)
    assert publish_once(layout, SETTINGS, ORDER) is not None
    assert "Nothing new to publish." in woken(sleeper)
    append_round(layout, base, 3)
    sleeper = asleep_at(layout, point)
    assert publish_once(layout, SETTINGS, ORDER) is not None
    append_round(layout, base, 4)
    said = woken(sleeper)
    chain = served.chain(layout)
    assert chain.verify() == 4 if "Version 4 is served" in said else 3
    assert [p.delta for p in chain.read(3).body.positions] == [3, 3]


def test_publishers_that_race_make_each_version_once_and_lose_nothing(layout: Layout, base: OpenBase) -> None:
    def race() -> None:
        for _ in range(10):
            publish_once(layout, SETTINGS, ORDER)

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for seed in range(1, 6):
        append_round(layout, base, seed)
    for racer in racers:
        racer.join()
    publish_once(layout, SETTINGS, ORDER)
    chain = served.chain(layout)
    shown = [sum(p.delta for p in chain.read(n).body.positions) for n in range(1, chain.verify() + 1)]
    assert shown == sorted(set(shown))  # each version shows something that the one before it did not
    assert shown[-1] == 10


def test_two_publishes_in_one_instant_are_two_versions_and_lose_nothing(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    for seed in (1, 2):
        append_round(layout, base, seed)
        assert publish_once(layout, SETTINGS, ORDER) is not None
    chain = served.chain(layout)
    bodies = [chain.read(number).body for number in (2, 3)]
    assert bodies[0].created_at == bodies[1].created_at
    assert [[p.delta for p in body.positions] for body in bodies] == [[1, 1], [2, 2]]


def test_a_clock_that_goes_back_changes_no_order_and_no_answer(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = Retriever(layout, EXACT)
    for seed, now in ((1, 1_800_000_000.0), (2, 1_700_000_000.0), (3, 1_600_000_000.0)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        append_round(layout, base, seed)
        assert publish_once(layout, SETTINGS, ORDER) is not None
        assert retriever.refresh()
        assert retriever.view.version == seed + 1
        assert answers(retriever) == answers(Retriever(layout, EXACT))


def test_a_reader_that_slept_through_ten_versions_answers_as_one_that_did_not(layout: Layout, base: OpenBase) -> None:
    sleeper, watcher = Retriever(layout, EXACT), Retriever(layout, EXACT)
    for seed in range(1, 11):
        append_round(layout, base, seed)
        publish_once(layout, SETTINGS, ORDER)
        watcher.refresh()
    assert sleeper.refresh()
    assert sleeper.view.version == watcher.view.version == 11
    assert answers(sleeper) == answers(watcher)


def test_a_delta_with_a_flipped_bit_is_refused_and_named_and_the_old_version_stays(
    layout: Layout, base: OpenBase
) -> None:
    append_round(layout, base, 1)
    (path,) = layout.deltas("tiny", 0).glob("*.safetensors")
    data = bytearray(path.read_bytes())
    before = served.head(layout)
    for at in (0, len(data) // 2, len(data) - 1):
        data[at] ^= 4
        path.write_bytes(data)
        with pytest.raises(PublishRefused, match=r"finite: delta 1 of partition 0: .* is damaged at its digest"):
            publish_once(layout, SETTINGS, ORDER)
        data[at] ^= 4
    assert served.head(layout) == before
    path.write_bytes(data)
    assert publish_once(layout, SETTINGS, ORDER) is not None


def test_a_full_disk_in_the_middle_of_a_publish_leaves_the_old_version(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 1)
    before = served.head(layout)

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    command = [sys.executable, "-c", PUBLISH, "--root", str(layout.root)]
    ended = subprocess.run(command, preexec_fn=no_room, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "File too large" in ended.stderr
    assert served.head(layout) == before
    assert publish_once(layout, SETTINGS, ORDER) is not None
    chain = deltas.chain(layout, "tiny", 0)
    assert chain.verify() == 1
    assert served.chain(layout).verify() == 2
    assert promotion.publish_once(layout, SETTINGS, ORDER) is None
