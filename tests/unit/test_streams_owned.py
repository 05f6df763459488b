"""Partitions from which nothing comes, fetchers that died, a Kafka that cannot be told: a consumer with faults."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, KafkaError
from aiokafka.structs import TopicPartition
from faust.types import TP

from contracts.errors import AccessRefused, MissingServer
from contracts.layout import Layout
from streams import agents, transport
from streams.access import Access
from streams.agents import Assignment, or_die
from streams.dead_letters import DeadLetterTopic
from streams.identity import SameTopic
from streams.owned import WAITING_CHUNKS, Place
from streams.records import Topic
from streams.settings import StreamsSettings
from streams.topics import Log
from streams.vitals import Vitals
from streams.watchdog import Watchdog
from tests.support.logs import mixed_log, records

PATIENCE_S = 10.0
TOPIC = Topic("events", "test-topic-id", 2)


class Fetcher:
    """A consumer whose positions are set by hand, and which fetches nothing. `failures`: of its commits, in order."""

    def __init__(self) -> None:
        self.positions = dict.fromkeys(range(TOPIC.partitions), 0)
        self.sought: list[tuple[int, int]] = []
        self.failures: list[Exception] = []
        self.told: list[dict[int, int]] = []

    async def position(self, tp: TP) -> int:
        return self.positions[tp.partition]

    async def seek(self, tp: TP, offset: int) -> None:
        self.sought.append((tp.partition, offset))

    async def _commit(self, hints: Mapping[TP, int]) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        self.told.append({tp.partition: offset for tp, offset in hints.items()})
        return True


class ToldLog(Log):
    """A log that says what it was told to: its next record from any offset on. It counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(Access.plain("nowhere:1"), TOPIC.name)
        self.__dict__["facts"] = {"next": 0, "asked": 0}

    def span(self, partition: int) -> tuple[int, int]:
        return 0, 1_000_000

    def next_available(self, partition: int, offset: int) -> int:
        self.answers["asked"] += 1
        return self.answers["next"]

    @property
    def answers(self) -> dict[str, int]:
        found: dict[str, int] = self.__dict__["facts"]
        return found


class Scene:
    """A worker that owns both partitions from offset 0 on, a watchdog of 60 s, and a clock that `look` alone moves."""

    def __init__(self, root: Path) -> None:
        self.now = 1_000.0
        self.vitals, self.watchdog = Vitals(lambda: self.now), Watchdog(60)
        self.fetcher, self.log = Fetcher(), ToldLog()
        letters, same = DeadLetterTopic(Access.plain("nowhere:1"), ""), SameTopic(TOPIC, lambda: TOPIC)
        self.place = Place(Layout(root), StreamsSettings.load(), TOPIC, self.log, self.vitals, letters, same)
        self.assignment = Assignment(self.place, lambda: self.fetcher)

    async def look(self, times: int = 1, growth: int = 0) -> str:
        """Look after idle partitions every 2 s, while the log grows; return the watchdog's first sentence."""
        reason = ""
        for _ in range(times):
            self.now += 2
            for known in self.vitals.view().partitions:
                self.vitals.log_end(known.partition, max(known.log_end, 0) + growth)
            await self.assignment.look_after_idle()
            reason = reason or self.watchdog.check(self.vitals.view())
        return reason

    def lag(self, partition: int = 0) -> int:
        return self.vitals.view().partitions[partition].lag


@asynccontextmanager
async def working(root: Path) -> AsyncIterator[Scene]:
    scene = Scene(root)
    await scene.assignment.own({0, 1})
    await seen(lambda: all(p.opened for p in scene.vitals.view().partitions))
    try:
        yield scene
    finally:
        await scene.assignment.give_back({0, 1})


async def seen(condition: Callable[[], bool]) -> None:
    """Return when it is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_fetcher_that_died_where_we_stand_is_found_by_the_watchdog(tmp_path: Path) -> None:
    async def body() -> None:
        async with working(tmp_path) as scene:
            assert await scene.look(30, growth=10) == ""
            assert (await scene.look(2, growth=10)).startswith("partition 0: no records for 6")
            assert scene.fetcher.sought == []

    asyncio.run(body())


def test_records_between_us_and_a_position_that_stands_ahead_are_sought_back_and_stay_lag(tmp_path: Path) -> None:
    async def body() -> None:
        async with working(tmp_path) as scene:
            scene.fetcher.positions[0], scene.log.answers["next"] = 400, 100
            await scene.look(growth=400)
            assert scene.fetcher.sought == []
            await scene.look()
            assert (scene.fetcher.sought, scene.lag()) == ([(0, 0)], 400)
            await scene.look(4)
            assert (scene.fetcher.sought, scene.lag()) == ([(0, 0)] * 3, 400)
            assert (await scene.look(60, growth=1)).startswith("partition 0: no records for")

    asyncio.run(body())


def test_markers_alone_up_to_the_position_are_no_lag_once_the_log_has_said_so_and_it_is_asked_once(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        async with working(tmp_path) as scene:
            scene.fetcher.positions[0] = scene.log.answers["next"] = 3
            await scene.look(growth=3)
            assert scene.lag() == 3
            await scene.look()
            assert (scene.lag(), scene.log.answers["asked"]) == (0, 1)
            await scene.look(20)
            assert (scene.fetcher.sought, scene.log.answers["asked"]) == ([], 1)

    asyncio.run(body())


def test_a_position_that_moves_is_left_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with working(tmp_path) as scene:
            for position in range(10, 60, 10):
                scene.fetcher.positions[0] = position
                await scene.look()
            assert (scene.fetcher.sought, scene.log.answers["asked"]) == ([], 0)

    asyncio.run(body())


def test_nothing_is_sought_while_chunks_wait_behind_a_partition_that_is_busy(tmp_path: Path) -> None:
    chunk, as_many_as_fit = records(mixed_log(1, 50)), 1 + WAITING_CHUNKS  # one in hand

    async def body() -> None:
        async with working(tmp_path) as scene:
            taken, go_on = [], threading.Event()

            async def take_one_more_than_fits() -> None:
                for number in range(as_many_as_fit + 1):
                    await scene.assignment.take(TP(TOPIC.name, 0), chunk)
                    taken.append(number)

            scene.fetcher.positions[1] = 400
            scene.place.folding.submit(go_on.wait)
            taking = asyncio.create_task(take_one_more_than_fits())
            try:
                await seen(lambda: len(taken) == as_many_as_fit)
                await scene.look(5)
                assert (scene.fetcher.sought, len(taken)) == ([], as_many_as_fit)
            finally:
                go_on.set()
            await taking
            await scene.look()
            assert scene.fetcher.sought == []
            await scene.look(2)
            assert (1, 0) in scene.fetcher.sought

    asyncio.run(body())


def test_a_hint_that_kafka_does_not_take_is_told_once_and_kept_for_the_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with working(tmp_path) as scene:
            scene.assignment._owned[1].hint = 7
            scene.fetcher.failures = [CommitFailedError(), KafkaError("away"), TimeoutError(), KafkaError("away")]
            with caplog.at_level(logging.WARNING, "freshet"):
                for _ in range(6):
                    await scene.assignment.tell_kafka()
            assert scene.fetcher.told == [{1: 7}]

    asyncio.run(body())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Kafka was not told how far the chains have come: KafkaError('away')"
    ]


def test_a_right_to_commit_that_is_missing_ends_no_worker(tmp_path: Path) -> None:
    async def body() -> None:
        async with working(tmp_path) as scene:
            scene.assignment._owned[0].hint = 7
            scene.fetcher.failures = [GroupAuthorizationFailedError("g")]
            await scene.assignment.tell_kafka()
            assert scene.assignment._owned[0].hint == 7

    asyncio.run(body())


def test_a_commit_that_waits_for_a_broker_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        def assignment(self) -> set[TopicPartition]:
            return {TopicPartition("events", 0)}

        async def commit(self, offsets: Mapping[TopicPartition, object]) -> None:
            assert list(offsets) == [TopicPartition("events", 0)]
            await asyncio.Event().wait()

    monkeypatch.setattr(transport, "COMMIT_S", 0.05)
    thread = object.__new__(transport._ConsumerThread)
    thread._consumer = Waiting()
    with pytest.raises(TimeoutError):
        asyncio.run(thread._commit({TP("events", 0): 7, TP("events", 1): 8}))


def test_a_worker_that_cannot_give_its_partitions_back_in_time_ends_itself_with_code_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, ended = list[int](), threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(agents, "GIVE_BACK_S", 0.05)
    monkeypatch.setattr("os._exit", end)

    async def body() -> None:
        async with working(tmp_path) as scene:
            async with scene.assignment._owned[0]._busy:  # a chunk in hand whose commit does not come to its end
                stopping = asyncio.create_task(scene.assignment.stop())
                assert await asyncio.to_thread(ended.wait, PATIENCE_S)
            await stopping

    asyncio.run(body())
    assert codes == [0]


@pytest.mark.parametrize(
    ("error", "code"), [(MissingServer("away"), 1), (AccessRefused("no right"), 2), (KeyError("surprise"), 1)]
)
def test_a_worker_is_to_be_started_again_after_all_but_what_a_person_has_to_change(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(code: int) -> Any:
        raise SystemExit(code)

    async def work() -> None:
        raise error

    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit) as ended:
        asyncio.run(or_die(work()))
    assert ended.value.code == code
