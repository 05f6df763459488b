"""The verbs that every server here has, and what local processes among them share."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from infra.processes import ServerProcess


class Server(ABC):
    """`stop` and `kill` end it and keep its data and ports, `restart` brings it back, `close` ends it for good.

    Use it as a context manager: start on entry, close on exit.
    """

    @abstractmethod
    def start(self) -> None:
        """Start the server and return once it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End the server in order."""

    @abstractmethod
    def kill(self) -> None:
        """End the server with SIGKILL."""

    @abstractmethod
    def close(self) -> None:
        """End the server for good, with what it need not leave behind."""

    def restart(self) -> None:
        """End the server if it runs, and start it on the same data and ports."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        """Start the server."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the server."""
        self.close()


class LocalServer(Server):
    """A server that is a process on this machine, with a folder of its own: `start` sets `_process` and starts it."""

    name: ClassVar[str]
    stop_patience_s: ClassVar[float]

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where data, configuration and logs go; a temporary one, deleted by `close`, if None."""
        self._own_folder = folder is None
        self.folder = (folder or Path(tempfile.mkdtemp(prefix=f"freshet-{self.name}-"))).resolve()
        self._process: ServerProcess | None = None

    def stop(self) -> None:
        """End the server in order; its data and its ports stay."""
        if self._process is not None:
            self._process.stop(self.stop_patience_s)

    def kill(self) -> None:
        """End the server with SIGKILL; its data and its ports stay."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the server for good, and delete its folder if it was a temporary one."""
        if self._own_folder:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.stop()
