"""What stands before every page: a limit on what a caller may send, and the bearer tokens if there are any."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from serving.settings import Tokens
from serving.wire import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_TO_ALL = frozenset({"/healthz", "/readyz", "/"})  # probes hold no token; the dashboard asks for one: it is empty
OPERATORS, MARK = ("POST", "/rollback"), "freshet.operator"
OFF = Problem(
    "nobody may roll back over HTTP here",
    "Set `operator_token_file` for `freshet serve`, or use `freshet publish rollback`.",
)


class Guard:
    """ASGI middleware. Tokens are compared in constant time; a body is refused as soon as it is too long."""

    def __init__(self, app: App, tokens: Tokens, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes
        self._caller, self._operator = _header(tokens.caller), _header(tokens.operator)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if refusal := self._refusal(scope, headers.get(b"authorization", b"")):
            await _refuse(send, *refusal)
            return
        too_large = Problem("the request is too large", f"At most {self._max_bytes} bytes are read.")
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > self._max_bytes:
            await _refuse(send, 413, too_large)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                await _refuse(send, 413, too_large)
                return
        await self._app(scope, _whole(bytes(body), receive), send)

    def _refusal(self, scope: MutableMapping[str, Any], shown: bytes) -> tuple[int, Problem] | None:
        """Return why a request may not pass; one that may roll back is marked, and no other is."""
        is_operator = bool(self._operator) and hmac.compare_digest(shown, self._operator)
        scope[MARK] = is_operator
        if not self._operator and (scope["path"] + "/").startswith("/rollback/"):
            return 403, OFF
        if (scope["method"], scope["path"]) == OPERATORS:
            wrong = Problem("the token of an operator is needed", "It is what `operator_token_file` holds.")
            return None if is_operator else (401, wrong)
        if not self._caller or scope["path"] in OPEN_TO_ALL:
            return None
        if is_operator or hmac.compare_digest(shown, self._caller):
            return None
        return 401, Problem("a token is needed", "Send it as `Authorization: Bearer <token>`.")


def _header(token: str) -> bytes:
    return f"Bearer {token}".encode() if token else b""


def _whole(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body that was read already, and then whatever else comes."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _refuse(send: Send, status: int, problem: Problem) -> None:
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
