"""`freshet serve`: answers over HTTP until a signal ends it."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from contracts import command_line
from contracts.ending import Ending
from contracts.errors import UsageError
from serving.settings import ServingSettings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(argv: Sequence[str]) -> int:
    """`freshet serve`: the pages of `serving.api`."""
    parser = command_line.parser(
        "serve",
        "Answer over HTTP with what is served, and follow every publish and rollback by itself.",
        "It may be started before anything is published. /docs describes the pages. SIGTERM or Ctrl-C ends it, after "
        "the requests that are being answered.",
    )
    parser.add_argument("--host", help="address to bind (default: the setting's, 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="port to bind, 0: any free one (default: the setting's, 8300)")
    parsed = parser.parse_args(argv)
    layout = command_line.layout(parsed)
    settings = ServingSettings.load(host=parsed.host, port=parsed.port)
    tokens = settings.tokens()
    # Requests are answered side by side; a second thread for each one's small products would only be in their way. (On
    # two cores, with a swap a second, p99 was 55 ms with numpy's own choice and is 17 ms.)
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from serving.api import create_app
    from serving.guard import Guard
    from serving.service import Service

    service = Service(layout, settings)
    with _bound(settings) as bound:
        service.start()
        address = f"http://{_shown_host(settings.host)}:{bound.getsockname()[1]}"
        print(_sentence(service.fault, address, settings, bool(tokens.caller)), flush=True)
        app = create_app(service)
        app.router.lifespan_context = _limited(settings.threads)
        try:
            _run(Guard(app, tokens, settings.max_request_bytes), bound)
        finally:
            service.close()
    print("Ended.", flush=True)
    return 0


def _run(app: object, bound: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )

    class Server(uvicorn.Server):
        """Ends at SIGTERM and Ctrl-C, and then goes on here; uvicorn's own would die by the signal in the end."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            Ending(self._told)
            yield

        def _told(self) -> None:
            self.force_exit, self.should_exit = self.should_exit, True

    Server(config).run(sockets=[bound])


def _limited(threads: int) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan in which so many requests at most are answered at once; others wait."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        from anyio.to_thread import current_default_thread_limiter

        current_default_thread_limiter().total_tokens = threads
        yield

    return lifespan


def _bound(settings: ServingSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror or error}",
            hint="Another process may listen there: choose another with --port, 0 takes any free one.",
        ) from None


def _sentence(fault: str, address: str, settings: ServingSettings, has_token: bool) -> str:
    lines = [f"Serving at {address}, described at {address}/docs; SIGTERM or Ctrl-C ends it."]
    lines.append(f"The dashboard: {address}/")
    if fault:
        lines.append(f"Not ready yet: {fault}. The first publish is taken over by itself.")
    if settings.host not in LOOPBACK and not has_token:
        lines.append("Anybody who reaches this address may ask: set `token_file` if the network is not yours alone.")
    return "\n".join(lines)


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return number
