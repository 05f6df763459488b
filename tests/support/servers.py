"""Real servers for tests, one of each for the whole session, and what was done to have them.

A test that asks for one is marked `server`, so that `pytest -m "not server"` runs what needs none. A server that
cannot be had is a failure with the sentence that says what to install, never a skip.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import pytest
from kafka import KafkaAdminClient

from contracts.errors import FreshetError
from infra.chromium import find_chromium, install_chromium
from infra.kafka.broker import LocalBroker
from infra.kafka.choose import Broker, docker_answers, install_java, install_servers, start_broker
from infra.milvus.server import MilvusServer
from infra.prometheus.promtool import have_promtool
from infra.redis.server import RedisServer, install_redis
from tests.support.secured import SecuredBroker

if TYPE_CHECKING:
    from tests.support.browser import Browser

SERVER_FIXTURES = frozenset({"kafka", "secured_kafka", "milvus_server", "redis_server", "promtool", "chromium"})
Server = TypeVar("Server")
_sentences = pytest.StashKey[list[str]]()
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """A started Kafka broker: in a container if an engine answers, else a local process."""
    say = pytestconfig.stash[_sentences].append

    def start() -> Broker:
        install_servers(say)
        return start_broker(say)

    broker = _or_fail(start)
    if isinstance(broker, LocalBroker):
        why = "the container did not start" if docker_answers() else "no Docker engine answered"
        say(f"The container path was not taken: {why}.")
    try:
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def secured_kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A started Kafka broker, a local process, that demands passwords, certificates and rights."""
    say = pytestconfig.stash[_sentences].append

    def start() -> SecuredBroker:
        install_java(say, "the broker that demands passwords is a local process")
        return SecuredBroker(tmp_path_factory.mktemp("secured")).__enter__()

    broker = _or_fail(start)
    say("Kafka that demands passwords and certificates ran as a local Java process.")
    try:
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def milvus_server(pytestconfig: pytest.Config) -> Iterator[MilvusServer]:
    """A started Milvus server with data of its own."""
    server = _or_fail(lambda: MilvusServer().__enter__())
    pytestconfig.stash[_sentences].append("Milvus ran as a local process of the milvus wheel.")
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """A started Redis with nothing in it."""

    def start() -> RedisServer:
        install_redis(pytestconfig.stash[_sentences].append)
        return RedisServer().__enter__()

    server = _or_fail(start)
    pytestconfig.stash[_sentences].append("Redis ran as a local process.")
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def promtool(pytestconfig: pytest.Config) -> str:
    """The path of promtool, which checks alerts."""
    return _or_fail(lambda: have_promtool(pytestconfig.stash[_sentences].append))


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """A headless Chromium."""
    from tests.support.browser import Browser  # selenium is not loaded where it is not used

    say = pytestconfig.stash[_sentences].append

    def start() -> Browser:
        install_chromium(say)
        return Browser(find_chromium())

    found = _or_fail(start)
    say("The dashboard ran in Debian's Chromium, headless.")
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser as a screen by day, whatever the test before made of it."""
    chromium.look_as(1200, 900, "light")
    return chromium


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> str:
    """Return a topic name that no other test of this session has."""
    return unique_name(request.node.name)


def unique_name(stem: str) -> str:
    """Return a name for a topic, group or collection: letters of `stem`, then what makes it unique."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', stem)[:60].strip('_')}_{os.getpid()}_{next(_numbers)}"


def make_topic(broker: Broker, name: str, partitions: int, settings: Mapping[str, str] | None = None) -> str:
    """Create a topic with the given topic settings, and return its name once each partition has a leader."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        topic = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(settings or {})}
        admin.create_topics({name: topic}, wait_for_metadata=True)
    finally:
        admin.close()
    return name


def _or_fail(start: Callable[[], Server]) -> Server:
    """Return what `start` returns; a named error becomes a failure that is its sentence alone."""
    try:
        return start()
    except FreshetError as error:
        sentence = f"{error} {error.hint}".strip()
    pytest.fail(sentence, pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and make room for the sentences of the summary."""
    config.addinivalue_line("markers", "server: needs a real Kafka, Milvus or Redis server, or a browser")
    config.stash[_sentences] = []


# First of all, so that the selection by -m sees the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for a server, also through another fixture."""
    for item in items:
        if SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the tests ran against, and which path was not taken."""
    sentences = config.stash[_sentences]
    if sentences:
        terminalreporter.section("servers")
        for sentence in sentences:
            terminalreporter.write_line(sentence)
