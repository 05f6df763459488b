"""The HTTP pages over a `Service`: FastAPI, documented at /docs and /openapi.json.

Requests are decoded by the contracts' own rules, so what an event may hold a request may hold; everything else is
answered with a `Problem` that names the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException

from contracts.errors import FreshetError, MissingInput, NothingServed, Overtaken, UsageError, WrongParent
from serving import documented, going_back, page
from serving.dashboard import Dashboard
from serving.guard import MARK, OFF
from serving.service import Service
from serving.wire import BatchAnswer, BatchRequest, Health, Problem, RetrieveRequest, RollbackRequest

JSON = "application/json"
Asked = TypeVar("Asked")
MAX_ID = 256
NOT_KEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class _AnyText(Convertor[str]):
    """A path parameter of any characters: `path` knows no line feed."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _AnyText())


def create_app(service: Service) -> FastAPI:
    """Return the application; `service` is started and closed by the caller."""
    app = FastAPI(title="Freshet", version="1", description=documented.DESCRIPTION)
    for kind in (FreshetError, HTTPException):
        app.add_exception_handler(kind, _problem)

    @app.post("/retrieve", **documented.RETRIEVE)
    async def retrieve(request: Request) -> Response:
        """Return the best k items for a user, the version and row they come from, and how long each step took."""
        asked = await _body(request, RetrieveRequest)
        query = asked.query()
        return _json(await run_in_threadpool(service.retrieve, query.user_id, int(asked.k), query.context))

    @app.post("/retrieve/batch", **documented.BATCH)
    async def retrieve_batch(request: Request) -> Response:
        """Return the best k items for each of several users."""
        asked = await _body(request, BatchRequest)
        queries = [one.query() for one in asked.queries]
        return _json(BatchAnswer(await run_in_threadpool(service.retrieve_many, queries, int(asked.k))))

    @app.get("/users/{user_id:text}", **documented.USER)
    async def user(user_id: str) -> Response:
        """Return a user's row, its age, and the log positions that made it; also for a user never seen."""
        if not 1 <= len(user_id) <= MAX_ID:
            raise UsageError("user_id has between 1 and 256 characters")
        return _json(await run_in_threadpool(service.user, user_id))

    @app.get("/status", **documented.STATUS)
    async def status() -> Response:
        """Return what this process answers with now."""
        return _json(await run_in_threadpool(service.status))

    _add_probes(app, service)
    _add_dashboard(app, service)
    app.openapi = lambda: documented.openapi(app)  # type: ignore[method-assign]
    return app


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", **documented.HEALTH)
    async def healthz() -> Response:
        """Say that the process lives."""
        return _json(Health(True, ""))

    @app.get("/readyz", **documented.READY)
    async def readyz() -> Response:
        """Say whether a version is there to answer with, an old one too, and newer ones are still taken over."""
        try:
            await run_in_threadpool(service.status)
        except NothingServed as error:
            return _json(Health(False, str(error)), 503)
        return _json(Health(True, "")) if service.follows else _json(Health(False, service.fault), 503)

    @app.get("/metrics", **documented.METRICS)
    async def metrics() -> Response:
        """Return counters and histograms for Prometheus."""
        service.observe()
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _add_dashboard(app: FastAPI, service: Service) -> None:
    shown, dashboard, plans = page.load(), Dashboard(service), going_back.Plans(service.layout)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        """Return the page for people; it asks for all that it shows."""
        return Response(shown.html, media_type="text/html; charset=utf-8", headers=shown.headers)

    @app.get("/overview", **documented.OVERVIEW)
    async def overview(request: Request) -> Response:
        """Return what the dashboard shows: a few seconds old at most, however many ask."""
        made = await run_in_threadpool(dashboard.overview)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(made.gzipped, media_type=JSON, headers={**NOT_KEPT, "Content-Encoding": "gzip"})
        return Response(made.plain, media_type=JSON, headers=NOT_KEPT)

    @app.post("/compare", **documented.COMPARE)
    async def compare(request: Request) -> Response:
        """Return a user's answers side by side: before the last publish, now, and by every arm."""
        asked = await _body(request, RetrieveRequest)
        return _json(await run_in_threadpool(service.compare, asked.query(), int(asked.k)))

    @app.get("/rollback/{to}", **documented.PLAN)
    async def plan(to: str) -> Response:
        """Return what a rollback to a version would hold; nothing is written. 404 where none is possible."""
        number = int(to) if to.isascii() and to.isdigit() and len(to) < 16 else 0
        try:
            return _json(await plans.planned(number))
        except UsageError as error:
            return _json(Problem(str(error), error.hint), 404)

    @app.post("/rollback", **documented.ROLLBACK)
    async def rollback(request: Request) -> Response:
        """Serve an older version again, for operators alone; 409 if another version is served than the one seen."""
        if not request.scope.get(MARK):
            return _json(OFF, 403)
        asked = await _body(request, RollbackRequest)
        return _json(await run_in_threadpool(going_back.roll_back, service.layout, asked))


async def _body(request: Request, kind: type[Asked]) -> Asked:
    try:
        return _decoder(kind)(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the request is not understood: {error}", hint="See /docs.") from None


def _decoder(kind: type[Asked]) -> Callable[[bytes], Asked]:
    return _DECODERS[kind].decode  # type: ignore[no-any-return]


_REQUESTS = (RetrieveRequest, BatchRequest, RollbackRequest)
_DECODERS: dict[type, Any] = {kind: msgspec.json.Decoder(kind) for kind in _REQUESTS}


def _json(found: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(found), status, media_type=JSON, headers=NOT_KEPT)


_CODES = ((NothingServed, 503), (Overtaken, 409), (MissingInput, 409), (WrongParent, 409), (UsageError, 422))


async def _problem(request: Request, error: Exception) -> Response:
    """Answer with what went wrong: 422 for the question, 409 for what has changed, 503 for nothing, 500 for damage."""
    if isinstance(error, HTTPException):
        return Response(
            msgspec.json.encode(Problem(str(error.detail))), error.status_code, headers=error.headers, media_type=JSON
        )
    hint = error.hint if isinstance(error, FreshetError) else ""
    status = next((code for kind, code in _CODES if isinstance(error, kind)), 500)
    return _json(Problem(str(error), hint), status)
