"""The OpenAPI description: schemas come from the structs that decode and encode, so they cannot differ."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.answer import Answer
from serving.comparison import Comparison
from serving.overview import Overview
from serving.wire import (
    BatchAnswer,
    BatchRequest,
    Health,
    Problem,
    RetrieveRequest,
    RollbackPage,
    RollbackRequest,
    StatusPage,
    UserPage,
)

DESCRIPTION = "The best items for a user, from the version that is served now. Times are event times in ms."
_REF = "#/components/schemas/{name}"
_KINDS = (
    Answer,
    BatchAnswer,
    BatchRequest,
    Comparison,
    Health,
    Overview,
    Problem,
    RetrieveRequest,
    RollbackPage,
    RollbackRequest,
    StatusPage,
    UserPage,
)
_REFERENCES, _COMPONENTS = msgspec.json.schema_components(_KINDS, ref_template=_REF)
_SCHEMA: dict[type, dict[str, Any]] = dict(zip(_KINDS, _REFERENCES, strict=True))


def _content(kind: type) -> dict[str, Any]:
    return {"application/json": {"schema": _SCHEMA[kind]}}


def _answers(kind: type, *others: int) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a page: `kind` on success, a `Problem` for the other status codes."""
    said = {
        401: "A token is needed.",
        403: "Nobody may roll back here.",
        404: "No rollback to this version is possible.",
        409: "Another version is served by now, or the base is gone.",
        413: "The request is too large.",
        422: "The request is not understood.",
        500: "What is served is damaged.",
        503: "Nothing is served yet.",
    }
    found: dict[int | str, dict[str, Any]] = {200: {"description": "As asked.", "content": _content(kind)}}
    for code in (401, 413, 500, *others):
        found[code] = {"description": said[code], "content": _content(Problem)}
    return found


def _asked(kind: type) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(kind)}}


RETRIEVE: dict[str, Any] = {"responses": _answers(Answer, 422, 503), "openapi_extra": _asked(RetrieveRequest)}
BATCH: dict[str, Any] = {"responses": _answers(BatchAnswer, 422, 503), "openapi_extra": _asked(BatchRequest)}
USER: dict[str, Any] = {"responses": _answers(UserPage, 422, 503)}
STATUS: dict[str, Any] = {"responses": _answers(StatusPage, 503)}
OVERVIEW: dict[str, Any] = {"responses": _answers(Overview)}
COMPARE: dict[str, Any] = {"responses": _answers(Comparison, 422, 503), "openapi_extra": _asked(RetrieveRequest)}
PLAN: dict[str, Any] = {"responses": _answers(RollbackPage, 403, 404, 409, 503)}
ROLLBACK: dict[str, Any] = {
    "responses": _answers(RollbackPage, 403, 409, 422, 503),
    "openapi_extra": _asked(RollbackRequest),
}
HEALTH: dict[str, Any] = {"responses": {200: {"description": "It lives.", "content": _content(Health)}}}
READY: dict[str, Any] = {
    "responses": {
        **HEALTH["responses"],
        503: {"description": "There is nothing to answer with.", "content": _content(Health)},
    }
}
METRICS: dict[str, Any] = {
    "responses": {
        200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        401: {"description": "A token is needed.", "content": _content(Problem)},
    }
}


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description of `app`, made once."""
    if not app.openapi_schema:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = made.setdefault("components", {})
        components["schemas"] = _COMPONENTS
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{}, {"bearer": []}]
        for path in made["paths"].values():
            for page in path.values():
                for parameter in page.get("parameters", ()):
                    parameter["schema"] = {"type": "string", "minLength": 1, "maxLength": 256}
        app.openapi_schema = made
    return app.openapi_schema
