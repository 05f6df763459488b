"""Whether a Kafka broker answers, asked without a client library's own retries and log lines."""

from __future__ import annotations

import socket
import struct

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

_API_VERSIONS = 18
_CORRELATION = 1


def broker_answers(bootstrap: str) -> bool:
    """Return whether the broker takes part in its cluster, so that topics can be created on it.

    A bare ApiVersions request comes first: an open port alone proves nothing (a container's port is open before its
    server is), and a client library would log each refused connection.
    """
    return _speaks_kafka(bootstrap) and _has_a_live_broker(bootstrap)


def _speaks_kafka(bootstrap: str) -> bool:
    host, _, port = bootstrap.rpartition(":")
    request = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == 8 and struct.unpack(">ii", answer)[1] == _CORRELATION


def _has_a_live_broker(bootstrap: str) -> bool:
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    except KafkaError:
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()
