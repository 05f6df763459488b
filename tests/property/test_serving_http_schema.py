"""What the OpenAPI description promises holds for whatever a client makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from contracts.layout import Layout
from serving.api import create_app
from serving.guard import Guard
from serving.service import Service
from serving.settings import ServingSettings, Tokens
from tests.support.bases import append_round, serve, tiny_base

ASKED = ["POST /retrieve", "POST /retrieve/batch", "POST /compare"]
READ = [
    "GET /users/{user_id}",
    "GET /overview",
    "GET /rollback/{to}",
    "GET /status",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def pages() -> Iterator[Any]:
    """The description, as read from pages that answer."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        base = tiny_base(layout)
        append_round(layout, base, 1)
        serve(layout, base)
        service = Service(layout, ServingSettings(search="exact"))
        service.start()
        yield schemathesis.openapi.from_asgi("/openapi.json", Guard(create_app(service), Tokens(), 262_144))
        service.close()


@pytest.mark.parametrize("page", [*ASKED, "POST /rollback", *READ])
def test_a_page_answers_as_described_whoever_asks_as_described(pages: Any, page: str) -> None:
    ask(pages, page, GenerationMode.POSITIVE)


@pytest.mark.parametrize("page", ASKED)
def test_a_page_refuses_as_described_whatever_is_not_described(pages: Any, page: str) -> None:
    ask(pages, page, GenerationMode.NEGATIVE)


def test_every_page_is_asked(pages: Any) -> None:
    described = {found.ok().label for found in pages.get_all_operations()}
    assert described == {*ASKED, "POST /rollback", *READ}


def ask(pages: Any, page: str, mode: GenerationMode) -> None:
    """Ask a page whatever its description allows (or forbids), and check all that it promises."""
    method, _, path = page.partition(" ")

    @given(pages[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def answers(case: Any) -> None:
        case.call_and_validate()

    answers()
