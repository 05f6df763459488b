"""Which Kafka is taken, in which order, and what is said about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.errors import MissingServer
from infra import apt
from infra.kafka import choose
from infra.processes import ServerFailed


class Started:
    """A broker of which only the name and the calls matter."""

    image = "an-image"

    def __init__(self, *_: object) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def close(self) -> None:
        self.calls.append("close")


class NeverStarts(Started):
    """A broker that fails while it starts; the last one made is kept to be looked at."""

    last: NeverStarts

    def start(self) -> None:
        NeverStarts.last = self
        raise ServerFailed("it ended", hint="Read its log.")


class Unused(Started):
    """A broker that must not be made."""

    def __init__(self, *_: object) -> None:
        pytest.fail("the other broker should have been taken")


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Docker engine, no program on the path, nothing in the cache."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FRESHET_CACHE", str(tmp_path / "cache"))


def found(monkeypatch: pytest.MonkeyPatch, *, docker: bool, java: bool) -> None:
    """Pretend that the machine has these, whatever it has."""
    monkeypatch.setattr(choose, "docker_answers", lambda: docker)
    monkeypatch.setattr(choose, "java_and_maven_there", lambda: java)


def brokers(monkeypatch: pytest.MonkeyPatch, *, container: type[Started], local: type[Started]) -> None:
    """Put doubles in the places of both brokers."""
    monkeypatch.setattr(choose, "ContainerBroker", container)
    monkeypatch.setattr(choose, "LocalBroker", local)


def test_a_container_is_taken_when_an_engine_answers_even_if_java_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, docker=True, java=True)
    brokers(monkeypatch, container=Started, local=Unused)
    said: list[str] = []

    choose.start_broker(said.append)

    assert said == ["Kafka runs in a container of an-image, because a Docker engine answers."]


def test_a_local_process_is_taken_when_no_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, docker=False, java=True)
    brokers(monkeypatch, container=Unused, local=Started)
    said: list[str] = []

    choose.start_broker(said.append)

    assert said == [
        "Kafka runs as a local Java process, because no Docker engine answers, and Java and Maven are there."
    ]


def test_a_container_that_does_not_start_is_closed_and_told_before_the_local_process_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found(monkeypatch, docker=True, java=True)
    brokers(monkeypatch, container=NeverStarts, local=Started)
    said: list[str] = []

    choose.start_broker(said.append)

    assert NeverStarts.last.calls == ["close"]
    assert said == [
        "A Docker engine answers, and yet no Kafka container runs: it ended Read its log.",
        "Kafka runs as a local Java process, because the container did not start, and Java and Maven are there.",
    ]


def test_a_local_broker_that_does_not_start_is_closed_and_its_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, docker=False, java=True)
    brokers(monkeypatch, container=Unused, local=NeverStarts)

    with pytest.raises(ServerFailed, match="it ended"):
        choose.start_broker(lambda _: None)

    assert NeverStarts.last.calls == ["close"]


@pytest.mark.usefixtures("bare_machine")
def test_on_a_bare_machine_the_error_says_what_to_install() -> None:
    with pytest.raises(MissingServer, match=r"no Docker engine answers, and there is no Java 17 with Maven") as error:
        choose.start_broker(lambda _: None)

    assert "apt-get install openjdk-17-jre-headless maven" in error.value.hint
    assert error.value.exit_code == 2


@pytest.mark.usefixtures("bare_machine")
def test_nothing_is_installed_where_INSTALL_is_0(monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: N802
    monkeypatch.setenv("INSTALL", "0")
    monkeypatch.setattr(choose, "install_packages", lambda *_: pytest.fail("something was installed"))

    with pytest.raises(MissingServer, match="No Kafka can be started"):
        choose.install_servers(lambda _: None)


@pytest.mark.usefixtures("bare_machine")
def test_java_and_maven_are_installed_by_root_where_apt_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = fake_apt(monkeypatch, tmp_path)
    said: list[str] = []

    choose.install_servers(said.append)

    assert said == ["Installing openjdk-17-jre-headless and maven with apt-get (INSTALL=0 forbids it)."]
    assert [line for line in ran.read_text().splitlines() if line.startswith("install")] == [
        "install -y -qq --no-install-recommends -o Acquire::Retries=3 openjdk-17-jre-headless maven"
    ]


@pytest.mark.usefixtures("bare_machine")
def test_a_failed_installation_is_told_with_the_last_line_of_apt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_apt(monkeypatch, tmp_path, exit_code=100)

    with pytest.raises(MissingServer, match="could not install maven: E: no such package"):
        apt.install_packages(["maven"], lambda _: None)


@pytest.mark.parametrize("have", [{"docker": True, "java": False}, {"docker": False, "java": True}])
def test_nothing_is_installed_where_a_broker_can_be_had(monkeypatch: pytest.MonkeyPatch, have: dict[str, bool]) -> None:
    found(monkeypatch, **have)
    monkeypatch.setattr(choose, "install_packages", lambda *_: pytest.fail("something was installed"))

    choose.install_servers(lambda _: None)


def fake_apt(monkeypatch: pytest.MonkeyPatch, folder: Path, exit_code: int = 0) -> Path:
    """Put an apt-get and an apt-cache on the path that write down what they were asked, and be root."""
    ran = folder / "ran"
    for name in ("apt-get", "apt-cache"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "$@" >> {ran}\necho "E: no such package" >&2\nexit {exit_code}\n')
        program.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("INSTALL", raising=False)
    return ran
