"""Redis as a local process of Debian's package, with a port and a folder of its own, nothing written to disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from contracts.errors import MissingServer
from infra.apt import install_packages, may_install, refresh_lists
from infra.lifecycle import LocalServer
from infra.ports import free_ports
from infra.processes import Program, ServerProcess

PACKAGE, BINARY = "redis-server", "redis-server"
START_PATIENCE_S = 20.0


class RedisServer(LocalServer):
    """A Redis on 127.0.0.1. After `restart` it is empty, at the same address."""

    name = "redis"
    stop_patience_s = 5.0

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where its log goes; a temporary one if None."""
        super().__init__(folder)
        (self._port,) = free_ports(1)

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it and return when it answers. Raises `MissingServer`, `ServerFailed`."""
        if self._process is None:
            if shutil.which(BINARY) is None:
                raise MissingServer("There is no redis-server.", hint="On Debian: apt-get install redis-server.")
            options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
            program = Program("Redis", [BINARY, *options], self.folder / "redis.log", self.folder)
            self._process = ServerProcess(program)
        self._process.start(self._answers, START_PATIENCE_S)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def install_redis(log: Callable[[str], None]) -> None:
    """Install Redis with apt-get where it is missing and that is allowed; else `start` says what to install."""
    if shutil.which(BINARY) is None and may_install():
        refresh_lists()
        install_packages([PACKAGE], log)
