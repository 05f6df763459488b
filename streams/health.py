"""What a worker answers over HTTP: `/metrics`, `/healthz`, `/readyz`. Nothing can be changed through it.

One thread a connection, at most `MAX_CONNECTIONS` of them, each with a deadline: what a client sends can slow down or
end its own answer, never the worker. There is no authentication: leave `http_host` at this machine unless the
network is yours alone.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from contracts.errors import UsageError
from streams.vitals import PartitionView, View

TIMEOUT_S = 5.0
MAX_CONNECTIONS = 16
MAX_HEADER_BYTES = 16 << 10
RECOVERY_LIMIT_S = 600.0  # opening a partition reads its state from this machine's disk: minutes at the very most
JSON = "application/json"


class PartitionHealth(msgspec.Struct):
    """One partition in the answer of `/healthz`: records, ages in seconds, watermark in ms; null: not known yet."""

    partition: int
    state: str
    lag: int | None
    next_offset: int | None
    seconds_since_records: float
    watermark: int | None


class Health(msgspec.Struct):
    """The answer of `/healthz`; `reason` is empty while it is healthy."""

    healthy: bool
    reason: str
    stopping: bool
    partitions: list[PartitionHealth]


class Answer(msgspec.Struct, frozen=True):
    """What is sent back."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Pages:
    """The three pages. `look` returns the worker's view and the watchdog's sentence, empty while it has none."""

    def __init__(self, metrics: CollectorRegistry, look: Callable[[], tuple[View, str]]) -> None:
        self._metrics, self._look = metrics, look

    def answer(self, path: str) -> Answer:
        """Return the page of a path; what follows `?` does not matter."""
        name = path.partition("?")[0]
        if name == "/metrics":
            return Answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._metrics))
        if name == "/healthz":
            health = self._health()
            return _page(health.healthy, health)
        if name == "/readyz":
            reason = _not_ready(self._look()[0])
            return _page(not reason, {"ready": not reason, "reason": reason})
        return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics /healthz /readyz\n")

    def _health(self) -> Health:
        view, reason = self._look()
        reason = reason or _slow_recovery(view)
        return Health(not reason, reason, view.stopping, [_partition(p, view.now) for p in view.partitions])


def _page(fine: bool, value: object) -> Answer:
    status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, JSON, msgspec.json.encode(value) + b"\n")


def _not_ready(view: View) -> str:
    if view.stopping:
        return "the worker is stopping"
    if not view.joined:
        return "the consumer group has not dealt partitions yet"
    opening = [str(p.partition) for p in view.partitions if not p.opened]
    return f"recovering partitions {', '.join(opening)}" if opening else ""


def _slow_recovery(view: View) -> str:
    for partition in view.partitions:
        age = view.now - partition.assigned_at
        if not partition.opened and age >= RECOVERY_LIMIT_S:
            return f"partition {partition.partition}: its recovery has not ended for {age:.0f} s"
    return ""


def _partition(partition: PartitionView, now: float) -> PartitionHealth:
    def known(number: int) -> int | None:
        return number if number >= 0 else None

    return PartitionHealth(
        partition=partition.partition,
        state="open" if partition.opened else "recovering",
        lag=known(partition.lag),
        next_offset=known(partition.next_offset),
        seconds_since_records=round(now - partition.moved_at, 1),
        watermark=known(partition.watermark),
    )


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
        self._send(self.server.pages.answer(self.path))

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
def serving(address: tuple[str, int], pages: Pages) -> Iterator[int]:
    """Answer at `address` in a thread of its own until the block ends; gives the port. Raises `UsageError`."""
    try:
        server = _Server(address, pages)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the health page cannot listen on {address[0]}:{address[1]}: {error}",
            hint="Give each worker of a machine its own http_port (FRESHET_STREAMS_HTTP_PORT), or 0 for none.",
        ) from None
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
