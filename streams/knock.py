"""Kafka's first words to one broker, over a socket: as much of its protocol as tells where a connection fails.

Client libraries try again and again and end with "no broker answers". Asking step by step (TCP, TLS, protocol
versions, login) tells which step the broker refuses. Message layouts: kafka.apache.org/protocol, the requests
ApiVersions (18), SaslHandshake (17) and SaslAuthenticate (36).
"""

from __future__ import annotations

import socket
import ssl
import struct
from types import TracebackType
from typing import Self

from kafka.net.sasl import get_sasl_mechanism

from streams.access import Access

TIMEOUT_S = 3.0
UNSUPPORTED_SASL_MECHANISM, ILLEGAL_SASL_STATE = 33, 34

_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_LONGEST_ANSWER = 1 << 16


class Broker:
    """A connection to one broker that waits at most `TIMEOUT_S` for each answer. Raises `OSError` where it fails.

    `ssl.SSLError` is an `OSError` too; an answer that is not Kafka's is a `ConnectionError`.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Connect, and shake hands where `tls` is given."""
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        if tls is not None:
            try:
                self._socket = tls.wrap_socket(self._socket, server_hostname=host)
            except BaseException:
                self._socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def speaks_kafka(self) -> None:
        """Return if the broker answers to the request that precedes all others."""
        self._ask(_API_VERSIONS, 0, b"")

    def login_mechanisms(self, mechanism: str) -> tuple[int, list[str]]:
        """Say how we want to log in; return the broker's error code, 0 where it agrees, and what it offers."""
        answer = self._ask(_SASL_HANDSHAKE, 1, _string(mechanism))
        try:
            code, count = struct.unpack_from(">hi", answer)
            names, at = [], 6
            for _ in range(min(count, 100)):
                (length,) = struct.unpack_from(">h", answer, at)
                names.append(answer[at + 2 : at + 2 + length].decode())
                at += 2 + length
        except (struct.error, UnicodeDecodeError):
            raise ConnectionError("its answer is not Kafka's") from None
        return code, names

    def lets_in(self, access: Access) -> bool:
        """Log in with the mechanism that was agreed on; return whether the broker takes us for who we say we are."""
        mechanism = get_sasl_mechanism(access.sasl_mechanism)(**access.client())
        while not mechanism.is_done():
            token = mechanism.auth_bytes()
            answer = self._ask(_SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            try:
                code, words = struct.unpack_from(">hh", answer)
                if code:
                    return False
                at = 4 + max(words, 0)
                (length,) = struct.unpack_from(">i", answer, at)
                mechanism.receive(answer[at + 4 : at + 4 + max(length, 0)])
            except (struct.error, ValueError, KeyError):
                raise ConnectionError("its answer to the login is not Kafka's") from None
        return bool(mechanism.is_authenticated())

    def _ask(self, request: int, version: int, body: bytes) -> bytes:
        """Send a request with a header of version 1; return the body of the answer."""
        message = struct.pack(">hhi", request, version, request) + _string("freshet") + body
        self._socket.sendall(struct.pack(">i", len(message)) + message)
        (length,) = struct.unpack(">i", self._receive(4))
        if not 4 <= length <= _LONGEST_ANSWER:
            raise ConnectionError("its answer is not Kafka's")
        answer = self._receive(length)
        if struct.unpack_from(">i", answer)[0] != request:
            raise ConnectionError("its answer is not Kafka's")
        return answer[4:]

    def _receive(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            part = self._socket.recv(count - len(received))
            if not part:
                raise ConnectionResetError("it closed the connection")
            received += part
        return received


def speaks_tls(host: str, port: int) -> bool:
    """Return whether a TLS handshake gets as far as a certificate, trusted or not."""
    try:
        with Broker(host, port, ssl.create_default_context()):
            return True
    except ssl.SSLCertVerificationError:
        return True
    except OSError:
        return False


def speaks_without_tls(host: str, port: int) -> bool:
    """Return whether the port answers Kafka's requests in the clear."""
    try:
        with Broker(host, port, None) as broker:
            broker.speaks_kafka()
    except OSError:
        return False
    return True


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()
