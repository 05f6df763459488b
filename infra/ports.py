"""Free TCP ports that stay free until a server has bound them."""

from __future__ import annotations

import random
import socket

# Below the range from which Linux and macOS give ports to outgoing connections: a port found free here is not taken by
# a client a moment later, nor while a server that is being restarted is down.
LOWEST, HIGHEST = 20_000, 32_000
_LOOPBACK, _EVERY_ADDRESS = "127.0.0.1", "0.0.0.0"  # noqa: S104


def is_free(port: int) -> bool:
    """Return whether nothing listens on `port`, neither on loopback nor on every address."""
    return all(_binds(host, port) for host in (_LOOPBACK, _EVERY_ADDRESS))


def free_ports(count: int) -> list[int]:
    """Return `count` different free ports, picked at random so that processes that look at the same time differ."""
    candidates = random.SystemRandom().sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found


def _binds(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
