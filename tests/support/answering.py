"""Servers on loopback that are no Kafka brokers: they say what they are told to say, whoever calls."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Have a server at `host:port` that gives these answers to each caller's messages, and then ends the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    for answer in answers:
                        if not peer.recv(1024):
                            break
                        peer.sendall(answer)

        threading.Thread(target=talk, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
