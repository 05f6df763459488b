"""Small pages over HTTP that a long-running process answers beside its work. Nothing can be changed through them.

One thread a connection, at most `MAX_CONNECTIONS` of them, each with a deadline: what a client sends can slow down or
end its own answer, never the process. There is no authentication: listen on this machine alone unless the network is
yours alone.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from contracts.errors import UsageError

TIMEOUT_S = 5.0
MAX_CONNECTIONS = 16
MAX_HEADER_BYTES = 16 << 10


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus
    content_type: str
    body: bytes


Pages = Callable[[str], Answer]  # the answer to a path; what follows `?` is cut off


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.pages = pages
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # the parent's asks the name service who we are, which may take long

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a connection that broke off is its client's affair."""


class _Bounded:
    """The reading end of a connection; a request line and headers beyond `MAX_HEADER_BYTES` are refused with 431."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, MAX_HEADER_BYTES

    def readline(self, limit: int) -> bytes:
        if self._left <= 0:
            raise LineTooLong("header line")  # http.server answers 431
        line: bytes = self._stream.readline(min(limit, self._left))
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._stream.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S  # of each read; the deadline below is of the whole request
    server_version, sys_version = "freshet", ""

    def setup(self) -> None:
        super().setup()
        self.rfile: Any = _Bounded(self.rfile)
        self._deadline = threading.Timer(TIMEOUT_S, self._hang_up)
        self._deadline.daemon = True
        self._deadline.start()

    def finish(self) -> None:
        self._deadline.cancel()
        super().finish()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in a line of our own: what a client sent is not sent back."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._send(Answer(status, "text/plain", f"{status.value} {status.phrase}\n".encode()))

    def do_GET(self) -> None:
        self._send(self.server.pages(self.path.partition("?")[0]))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Allow", "GET")
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent class
        """Log nothing: what a client sends is not for the log."""

    def _hang_up(self) -> None:
        with suppress(OSError):  # it has just ended by itself
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(address: tuple[str, int], pages: Pages, setting: str) -> Iterator[int]:
    """Answer at `address` in a thread of its own until the block ends; gives the port.

    Raises `UsageError` where nothing can listen there; it names the `setting` of the port.
    """
    try:
        server = _Server(address, pages)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the page cannot listen on {address[0]}:{address[1]}: {error}",
            hint=f"Give each worker of a machine its own {setting}, or 0 for none.",
        ) from None
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
