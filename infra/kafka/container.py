"""A single-node KRaft broker in a container."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, cast

import docker
from docker.errors import APIError
from docker.models.containers import Container
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from infra.kafka.broker import START_PATIENCE_S, STOP_PATIENCE_S, cluster_id
from infra.kafka.image import ready_image
from infra.kafka.readiness import broker_answers
from infra.kafka.settings import Listeners, as_environment, broker_settings
from infra.lifecycle import Server
from infra.ports import free_ports
from infra.processes import ServerFailed, wait_until

_CLIENT_PORT, _CONTROLLER_PORT, _INTERNAL_PORT = 9092, 9093, 9094
# Inside the container: a folder that any image's user may write, and that lives and dies with the container.
_DATA_FOLDER = "/tmp/kafka-data"  # noqa: S108
# Inside the container too; the engine forwards only from this machine's loopback.
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104
_OWNER_LABEL = "freshet.owner"


class ContainerBroker(Server):
    """A broker in a container, on a fixed port of 127.0.0.1, because clients are told that port by the broker itself.

    `stop` and `kill` end the broker and keep the container, so `restart` brings it back with port and data; `close`
    removes it. Use it as a context manager: start on entry, close on exit. A container outlives a process that is
    killed before it closes it; the next `start` on this machine removes what such processes left.
    """

    def __init__(self, log: Callable[[str], None] = lambda sentence: None, volume: str = "") -> None:
        """`log` is told when an image has to be built or pulled; a named `volume` keeps the data beyond `close`."""
        self._log, self._volume = log, volume
        (self._port,) = free_ports(1)
        self._container: DockerContainer | None = None

    @property
    def bootstrap(self) -> str:
        """Return the `host:port` for clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def image(self) -> str:
        """Return the name of the image; raises ServerFailed before the first start."""
        return self._created().image

    def start(self) -> None:
        """Start the broker and return when topics can be created on it.

        Raises MissingServer without an image, ServerFailed when the broker does not come up.
        """
        try:
            if self._container is None:
                remove_orphans()
                self._container = self._describe(ready_image(self._log))
                self._container.start()
            else:
                self._wrapped().start()
        except APIError as error:
            raise ServerFailed(f"The Docker engine did not start the broker: {error.explanation or error}") from error
        try:
            wait_until(lambda: broker_answers(self.bootstrap), self._running, START_PATIENCE_S)
        except TimeoutError as error:
            raise ServerFailed(f"The Kafka container {error}; its log ends: {self._log_end()}") from error

    def stop(self) -> None:
        """End the broker in order; its data and its port stay."""
        if self._container is not None:
            self._wrapped().stop(timeout=int(STOP_PATIENCE_S))

    def kill(self) -> None:
        """End the broker with SIGKILL; its data and its port stay."""
        if self._container is not None and self._running():
            self._wrapped().kill()
            self._wrapped().wait()

    def close(self) -> None:
        """Remove the container, and its data unless they are in a volume."""
        if self._container is not None:
            if self._volume:
                self.stop()  # in order, or the next start has to recover what is in the volume
            self._container.stop()
            self._container = None

    def _describe(self, image: str) -> DockerContainer:
        # The reaper that testcontainers would start is an image of its own, from a registry.
        testcontainers_config.ryuk_disabled = True
        listeners = Listeners(_EVERY_ADDRESS, _CLIENT_PORT, _CONTROLLER_PORT, _INTERNAL_PORT, self._port)
        settings = as_environment(broker_settings(listeners, _DATA_FOLDER))
        container = DockerContainer(image)
        container.with_envs(
            CLUSTER_ID=cluster_id(self._volume or str(self._port)), KAFKA_HEAP_OPTS="-Xmx512m", **settings
        )
        # Its own method publishes a port to the whole network; the pair keeps it on this machine.
        cast("dict[str, Any]", container.ports)[str(_CLIENT_PORT)] = ("127.0.0.1", self._port)
        container.with_kwargs(labels={_OWNER_LABEL: _owner(os.getpid())})
        if self._volume:
            container.with_volume_mapping(self._volume, _DATA_FOLDER, "rw")
            container.with_kwargs(user="0")  # a new volume belongs to root
        return container

    def _created(self) -> DockerContainer:
        if self._container is None:
            raise ServerFailed("The Kafka container was not started")
        return self._container

    def _wrapped(self) -> Container:
        return self._created().get_wrapped_container()

    def _running(self) -> bool:
        container = self._wrapped()
        container.reload()
        return bool(container.status == "running")

    def _log_end(self) -> str:
        return " | ".join(self._wrapped().logs(tail=5).decode("utf-8", "replace").splitlines())


def remove_orphans() -> None:
    """Remove the brokers' containers whose starting process, on this host, has ended without closing them."""
    client = docker.from_env()
    try:
        for container in client.containers.list(all=True, filters={"label": _OWNER_LABEL}):
            host, _, pid = container.labels[_OWNER_LABEL].rpartition(":")
            if host == socket.gethostname() and not _alive(int(pid)):
                container.remove(force=True, v=True)
    finally:
        client.close()


def _owner(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
