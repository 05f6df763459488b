"""Which Kafka broker this machine can have: a container, a local process, or one for which servers get installed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import docker
from docker.errors import DockerException

from contracts.errors import FreshetError, MissingServer
from infra.apt import install_packages, known_to_apt, may_install, refresh_lists
from infra.kafka.broker import LocalBroker
from infra.kafka.container import ContainerBroker
from infra.kafka.jars import jars_there
from infra.kafka.java import LOWEST_JAVA, java_runs_kafka, maven_there

Broker = LocalBroker | ContainerBroker
_AnyBroker = TypeVar("_AnyBroker", LocalBroker, ContainerBroker)
_RUNTIMES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "default-jre-headless")


def docker_answers() -> bool:
    """Return whether a Docker engine answers to this user."""
    try:
        client = docker.from_env(timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def java_and_maven_there() -> bool:
    """Return whether a local broker can run: Java is new enough, and Maven is there or the jars already are."""
    return java_runs_kafka() and (maven_there() or jars_there())


def start_broker(log: Callable[[str], None]) -> Broker:
    """Start the first broker that works, and say in a sentence which it is and why; the caller closes it.

    A container if a Docker engine answers, else a local process if Java and Maven are there. Raises MissingServer, with
    what to install, when there is neither. Call it from a thread that lives as long as the broker is needed.
    """
    if docker_answers():
        try:
            broker = _started(ContainerBroker(log))
        except FreshetError as error:
            log(f"A Docker engine answers, and yet no Kafka container runs: {error} {error.hint}")
        else:
            log(f"Kafka runs in a container of {broker.image}, because a Docker engine answers.")
            return broker
        reason = "the container did not start"
    else:
        reason = "no Docker engine answers"
    if not java_and_maven_there():
        raise _nothing_there(reason)
    local = _started(LocalBroker())
    log(f"Kafka runs as a local Java process, because {reason}, and Java and Maven are there.")
    return local


def start_keeping(kind: Literal["container", "local"], folder: Path, log: Callable[[str], None]) -> Broker:
    """Start a broker of this kind whose topics outlive it; the caller closes it, and starts it again with `folder`.

    A local process keeps them in `folder`, a container in a volume named for it. Raises what names the failure: another
    kind would not have the topics.
    """
    if kind == "local":
        return _started(LocalBroker(folder))
    return _started(ContainerBroker(log, f"freshet-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}"))


def install_servers(log: Callable[[str], None]) -> None:
    """Install Java and Maven with apt-get, saying so, where neither they nor a Docker engine are there.

    It is the tests that call it, not the demo. Raises MissingServer, with what to install, where installing is not
    possible or not allowed.
    """
    if not docker_answers():
        install_java(log, "no Docker engine answers")


def install_java(log: Callable[[str], None], why: str) -> None:
    """Do so whatever Docker does, for a broker that has to be a local process; `why` it has to is told."""
    if java_and_maven_there():
        return
    if not may_install():
        raise _nothing_there(why)
    refresh_lists()
    runtime = next((name for name in _RUNTIMES if known_to_apt(name)), _RUNTIMES[0])
    install_packages([runtime, "maven"], log)


def _started(broker: _AnyBroker) -> _AnyBroker:
    try:
        broker.start()
    except BaseException:
        broker.close()
        raise
    return broker


def _nothing_there(reason: str) -> MissingServer:
    return MissingServer(
        f"No Kafka can be started: {reason}, and there is no Java {LOWEST_JAVA} with Maven.",
        hint=f"Start Docker, or install Java {LOWEST_JAVA} and Maven "
        f"(Debian, Ubuntu: apt-get install {_RUNTIMES[0]} maven).",
    )
