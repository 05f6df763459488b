"""The pages of `freshet serve`: what they answer, what they refuse, and how they follow what is published."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from contracts import served
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.deltas import Changes
from contracts.errors import UsageError
from contracts.layout import Layout
from contracts.partitions import partition_of
from contracts.rollback import Plan, plan, rollback
from contracts.rows import Row
from contracts.served import Served
from serving import going_back
from serving.answer import NO_CONTEXT
from serving.api import create_app
from serving.guard import Guard
from serving.served_view import ServedView
from serving.service import Service
from serving.settings import Arm, ServingSettings, Tokens
from serving.wire import RollbackPage
from tests.support.bases import CUT, MINUTE, append_delta, append_round, append_shard, serve, tiny_base, unit
from tests.support.faults import failing_fsync

EXACT = ServingSettings(search="exact", refresh_seconds=60)
OPERATOR = "may roll back"
ASKED = {"user_id": "u1", "k": 3, "context": {"discrete": {"device": "phone"}, "continuous": {"hour": 9}}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def base(layout: Layout) -> OpenBase:
    return tiny_base(layout)


@contextmanager
def serving(layout: Layout, settings: ServingSettings = EXACT, token: str = "") -> Iterator[tuple[TestClient, Service]]:
    """Have the pages answered, and the chain followed when the test says so."""
    service = Service(layout, settings)
    service.start()
    try:
        yield (
            TestClient(Guard(create_app(service), Tokens(token, OPERATOR), 4096), raise_server_exceptions=False),
            service,
        )
    finally:
        service.close()


def told(client: TestClient, path: str, status: int = 200) -> Any:
    found = client.get(path)
    assert found.status_code == status
    return found.json()


def test_an_answer_over_http_is_the_retrievers(layout: Layout, base: OpenBase) -> None:
    append_round(layout, base, 1)
    serve(layout, base)
    with serving(layout) as (client, service):
        (alone,) = [client.post("/retrieve", json=ASKED).json()]
        both = client.post("/retrieve/batch", json={"k": 3, "queries": [{"user_id": "u2"}, {"user_id": "u1"}]}).json()
        assert (alone["version"], alone["arm"], len(alone["items"])) == (1, "served", 3)
        assert [answer["user_id"] for answer in both["answers"]] == ["u2", "u1"]
        of_u2 = service.retrieve("u2", 3, NO_CONTEXT)
        assert [item["item_id"] for item in both["answers"][0]["items"]] == [item.item_id for item in of_u2.items]


def test_before_the_first_publish_it_says_why_and_afterwards_it_answers(layout: Layout, base: OpenBase) -> None:
    with serving(layout) as (client, service):
        refused = client.post("/retrieve", json=ASKED)
        assert refused.status_code == 503
        assert "nothing is served yet" in refused.json()["error"]
        assert "freshet publish once" in refused.json()["hint"]
        assert told(client, "/readyz", 503)["ok"] is False
        assert told(client, "/healthz")["ok"] is True
        serve(layout, base)
        service.refresh()
        assert told(client, "/readyz")["ok"] is True
        assert client.post("/retrieve", json=ASKED).json()["version"] == 1


def test_a_publish_and_a_rollback_are_taken_over_and_named(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with serving(layout) as (client, service):
        before = client.post("/retrieve", json=ASKED).json()["items"]
        append_round(layout, base, 1)
        serve(layout, base)
        service.refresh()
        assert told(client, "/status")["version"] == 2
        rollback(layout, 1, "someone", "a test")
        service.refresh()
        status = told(client, "/status")
        assert (status["version"], status["action"], status["content_of"], status["why"]) == (
            3,
            "rollback",
            1,
            "a test",
        )
        assert client.post("/retrieve", json=ASKED).json()["items"] == before


def test_a_version_that_cannot_be_opened_is_named_and_the_former_one_goes_on(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with serving(layout) as (client, service):
        append_round(layout, base, 1)
        serve(layout, base)
        (broken,) = layout.deltas("tiny", 0).glob("*.safetensors")
        broken.write_bytes(broken.read_bytes()[:-1])
        service.refresh()
        status = told(client, "/status")
        assert (status["version"], status["newest_version"]) == (1, 2)
        assert "damaged" in status["fault"]
        assert client.post("/retrieve", json=ASKED).json()["version"] == 1
        assert "freshet_serving_refused_versions_total 1.0" in client.get("/metrics").text


def test_a_users_page_names_the_samples_and_the_records_that_made_the_row(layout: Layout, base: OpenBase) -> None:
    partition = partition_of("u1", 2)
    for records, samples in ((50, 100), (30, 1), (10, 4)):
        append_shard(layout, "events", partition, records, samples + partition * (samples == 100), CUT)
    row = Row(unit(np.random.default_rng(1), 8), 12, CUT + 10 * MINUTE, ("i3",))
    append_delta(layout, base, partition, Changes(base.common, 1, {"u1": row}))
    append_delta(layout, base, partition, Changes(base.common, 1, {"another": row}), samples=2)
    append_delta(layout, base, partition, Changes(base.common, 1, {"u1": row}), samples=2)
    serve(layout, base)
    with serving(layout) as (client, _):
        page = told(client, "/users/u1")
        assert (page["how"], page["clicks"], page["ring"], page["base_row"]) == ("own row", 12, ["i3"], True)
        assert page["age_ms"] == 80 * MINUTE
        assert page["own_norm"] == pytest.approx(1.0)
        cut = base.manifest.cut[partition]
        ranges = [
            [o["delta"], o["first_ordinal"], o["next_ordinal"], o["first_offset"], o["next_offset"]]
            for o in page["evidence"]
        ]
        assert ranges == [[1, cut, cut + 1, 50, 80], [3, cut + 3, cut + 5, 80, 90]]
        unknown = told(client, "/users/never/seen%20before")
        assert (unknown["user_id"], unknown["how"], unknown["evidence"]) == ("never/seen before", "common row", [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"user_id": ""}', "$.user_id"),
        (b'{"user_id": "u", "k": 0}', "$.k"),
        (b'{"user_id": "u", "k": 1001}', "$.k"),
        (b'{"user_id": "u", "k": 2.5}', "$.k"),
        (b'{"user_id": "u", "kk": 2}', "kk"),
        (b'{"user_id": "\\ud800 alone"}', "surrogate"),
        (b'{"user_id": "u", "context": {"continuous": {"a": 1e39}}}', "continuous"),
        (b'{"user_id": "u", "context": {"continuous": {"a": NaN}}}', "malformed"),
        (b'{"user_id": "u", "context": {"discrete": {"a b": ""}}}', "context"),
        (b"[" * 3000, "array"),
    ],
)
def test_what_no_request_may_hold_is_refused_with_the_field(
    layout: Layout, base: OpenBase, body: bytes, field: str
) -> None:
    serve(layout, base)
    with serving(layout) as (client, _):
        refused = client.post("/retrieve", content=body)
        assert refused.status_code == 422
        assert field in refused.json()["error"]


def test_a_request_that_is_too_long_is_refused_however_it_comes(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with serving(layout) as (client, _):
        long = b" " * 5000
        assert client.post("/retrieve", content=long).status_code == 413
        assert client.post("/retrieve", content=iter([long[:2500], long[2500:]])).status_code == 413


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer wrong", "bearer secret", "Bearer secret2"])
def test_without_the_token_all_but_the_probes_and_the_empty_page_is_closed(
    layout: Layout, base: OpenBase, shown: str
) -> None:
    serve(layout, base)
    with serving(layout, token="secret") as (client, _):
        headers = {"Authorization": shown} if shown else {}
        for path in (
            "/status",
            "/users/u1",
            "/metrics",
            "/overview",
            "/rollback/1",
            "/openapi.json",
            "/docs",
            "/nowhere",
        ):
            refused = client.get(path, headers=headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        for path in ("/retrieve", "/compare"):
            assert client.post(path, json=ASKED, headers=headers).status_code == 401
        assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/")] == [200, 200, 200]
        assert client.get("/status", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_answers_are_counted_by_arm_by_row_and_by_who_found_them(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    settings = ServingSettings(search="exact", arm=(Arm(name="control", share=1.0, serves="frozen"),))
    with serving(layout, settings) as (client, _):
        client.post("/retrieve", json=ASKED)
        client.post("/retrieve", json={"user_id": "never seen"})
        counted = client.get("/metrics").text
        for how in ("own row", "common row"):
            assert f'freshet_serving_answers_total{{arm="control",search="exact",user="{how}"}} 1.0' in counted
        assert "freshet_serving_version 1.0" in counted


def test_a_process_that_no_longer_follows_is_not_ready_and_says_why(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(layout, base)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with serving(layout, ServingSettings(search="exact", refresh_seconds=0.01)) as (client, service):
        assert told(client, "/readyz")["ok"] is True
        monkeypatch.setattr(service, "refresh", lambda: 1 / 0)
        service._follower.join(timeout=20)
        reason = told(client, "/readyz", 503)["reason"]
        assert reason == "this process follows no more: ZeroDivisionError: division by zero"
        assert client.post("/retrieve", json=ASKED).status_code == 200


def test_the_page_brings_all_that_it_needs_and_allows_nothing_else(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with serving(layout) as (client, _):
        page = client.get("/")
        policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert len(page.content) < 100_000
        assert re.findall(r"""(?:src|href)=["'](?!#|data:)""", page.text) == []
        assert (policy["default-src"], policy["connect-src"], policy["form-action"]) == ("'none'", "'self'", "'none'")
        assert (policy["frame-ancestors"], policy["trusted-types"], policy["base-uri"]) == ("'none'",) * 3
        for element, directive in (("script", "script-src"), ("style", "style-src")):
            (text,) = re.findall(rf"<{element}>(.*?)</{element}>", page.text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert policy[directive] == f"'sha256-{digest}'"
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="):
            assert way not in page.text


def test_the_overview_is_answered_and_kept_nowhere(layout: Layout, base: OpenBase) -> None:
    with serving(layout) as (client, _):
        assert told(client, "/overview")["attention"] == ["Nothing is served yet."]
    serve(layout, base)
    with serving(layout) as (client, _):
        found = client.get("/overview")
        assert (found.json()["head"], found.headers["cache-control"]) == (1, "no-store")
        assert found.json()["may_roll_back"] is False
        assert (found.headers["content-encoding"], int(found.headers["content-length"]) < 1500) == ("gzip", True)
        assert client.get("/overview", headers={"Accept-Encoding": "identity"}).json() == found.json()


def test_a_comparison_shows_what_the_last_publish_changed(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    append_round(layout, base, 1)
    serve(layout, base)
    settings = ServingSettings(search="exact", arm=(Arm(name="control", share=0.5, serves="frozen"),))
    with serving(layout, settings) as (client, service):
        found = client.post("/compare", json={"user_id": "u1", "k": 5}).json()
        before, now = ([item["item_id"] for item in found[name]["items"]] for name in ("before", "now"))
        assert (found["before"]["version"], found["now"]["version"], found["faults"]) == (1, 2, [])
        assert found["entered"] == [item for item in now if item not in before] != []
        assert found["left"] == [item for item in before if item not in now]
        assert [answer["arm"] for answer in found["arms"]] == ["control"]
        assert (found["user"]["user_id"], found["arm"]) == ("u1", found["user"]["arm"])
        rollback(layout, 1, "someone", "a test")
        service.refresh()
        back = client.post("/compare", json={"user_id": "u1", "k": 5}).json()
        assert (back["before"]["version"], back["now"]["version"]) == (2, 3)
        assert [item["item_id"] for item in back["now"]["items"]] == before
        assert "freshet_serving_answers_total{" not in client.get("/metrics").text


def test_a_comparison_says_why_the_version_before_cannot_be_shown(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with serving(layout) as (client, service):
        assert client.post("/compare", json=ASKED).json()["faults"] == [
            "version 1 is the first: nothing was served before it"
        ]
        append_round(layout, base, 1)
        serve(layout, base)
        service.refresh()
        (first,) = layout.served().glob("*1.json")
        first.unlink()
        found = client.post("/compare", json=ASKED).json()
        assert (found["before"], found["now"]["version"], found["entered"]) == (None, 2, [])
        assert "manifest 1 of " in found["faults"][0]
    nothing = Layout(layout.root / "empty")
    with serving(nothing) as (client, _):
        assert client.post("/compare", json=ASKED).status_code == 503


def test_who_compares_while_the_former_version_is_being_opened_is_told_so_and_waits_for_nobody(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_versions(layout, base)
    with serving(layout) as (client, service):
        builder = service._open().builder
        begun, go_on, view = threading.Event(), threading.Event(), builder.view

        def slowly(entry: Entry[Served]) -> ServedView:
            begun.set()
            assert go_on.wait(60)
            return view(entry)

        monkeypatch.setattr(builder, "view", slowly)
        with ThreadPoolExecutor() as threads:
            first = threads.submit(client.post, "/compare", json=ASKED)
            assert begun.wait(60)
            second = threads.submit(client.post, "/compare", json=ASKED)
            refreshed = threads.submit(service.refresh)
            try:
                found = second.result(30).json()
                refreshed.result(30)
            finally:
                go_on.set()
            assert (found["before"], found["now"]["version"]) == (None, 2)
            assert found["faults"] == ["the former version is being opened: ask again"]
            assert first.result(60).json()["before"]["version"] == 1
        assert client.post("/compare", json=ASKED).json()["before"]["version"] == 1


AN_OPERATOR = {"Authorization": f"Bearer {OPERATOR}"}
CONTROLS = ({"who": "\x1b[2J"}, {"who": "Anna\n"}, {"why": "odd\nVersion 9"}, {"why": "\u202eodd"}, {"why": "\x9b2J"})
WANTED = {"to": 1, "seen": 2, "who": "Anna", "why": "odd answers"}


def two_versions(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    append_round(layout, base, 1)
    serve(layout, base)


def test_a_rollback_is_looked_at_first_and_then_made_as_the_command_makes_it(layout: Layout, base: OpenBase) -> None:
    two_versions(layout, base)
    with serving(layout) as (client, service):
        plan = told(client, "/rollback/1")
        assert (plan["version"], plan["content_of"], plan["deltas"], plan["partitions"]) == (2, 1, 2, 2)
        assert served.chain(layout).head_number() == 2
        done = client.post("/rollback", json=WANTED, headers=AN_OPERATOR)
        assert (done.status_code, done.json()["version"], done.json()["content_of"]) == (200, 3, 1)
        service.refresh()
        assert told(client, "/status")["version"] == 3
    head = served.head(layout)
    assert head
    assert (head.body.who, head.body.why, head.body.action) == ("Anna at the dashboard", "odd answers", "rollback")


def test_however_many_ask_at_once_for_a_plan_it_is_made_once_for_each_version_served(
    layout: Layout, base: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_versions(layout, base)
    made = list[int]()

    def counted(layout: Layout, to: int) -> Plan:
        made.append(to)
        return plan(layout, to)

    monkeypatch.setattr("contracts.rollback.plan", counted)

    async def ask(plans: going_back.Plans, times: int) -> list[RollbackPage]:
        return await asyncio.gather(*(plans.planned(1) for _ in range(times)))

    plans = going_back.Plans(layout)
    assert {page.version for page in asyncio.run(ask(plans, 8))} == {2}
    assert made == [1]
    append_round(layout, base, 2)
    serve(layout, base)
    assert {page.version for page in asyncio.run(ask(plans, 1))} == {3}
    assert made == [1, 1]


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer caller", f"bearer {OPERATOR}", f"Bearer {OPERATOR} "])
def test_a_rollback_needs_the_token_of_an_operator_also_where_reading_is_open(
    layout: Layout, base: OpenBase, shown: str
) -> None:
    two_versions(layout, base)
    for token in ("", "caller"):
        with serving(layout, token=token) as (client, _):
            refused = client.post("/rollback", json=WANTED, headers={"Authorization": shown})
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert served.chain(layout).head_number() == 2


def test_without_a_token_of_operators_nobody_rolls_back_over_http(layout: Layout, base: OpenBase) -> None:
    two_versions(layout, base)
    service = Service(layout, EXACT)
    for app in (Guard(create_app(service), Tokens("caller"), 4096), create_app(service)):
        for token in ("caller", "", OPERATOR):
            headers = {"Authorization": f"Bearer {token}"}
            refused = TestClient(app).post("/rollback", json=WANTED, headers=headers)
            assert (refused.status_code, refused.json()["error"]) == (403, "nobody may roll back over HTTP here")
    closed = TestClient(Guard(create_app(service), Tokens("caller"), 4096))
    assert closed.get("/rollback/1", headers={"Authorization": "Bearer caller"}).status_code == 403
    assert served.chain(layout).head_number() == 2


def test_an_operators_token_opens_what_a_callers_opens(layout: Layout, base: OpenBase) -> None:
    serve(layout, base)
    with serving(layout, token="caller") as (client, _):
        assert client.get("/status", headers=AN_OPERATOR).status_code == 200


def test_a_rollback_is_not_made_when_somebody_was_quicker_or_it_cannot_be_meant(layout: Layout, base: OpenBase) -> None:
    two_versions(layout, base)
    with serving(layout) as (client, _):

        def answer(**changed: object) -> tuple[int, str]:
            found = client.post("/rollback", json={**WANTED, **changed}, headers=AN_OPERATOR)
            return found.status_code, found.json()["error"]

        assert answer(seen=1) == (409, "version 2 is served by now, no longer version 1")
        assert answer(to=7) == (422, "there is no version 7")
        assert answer(to=2) == (422, "version 2 is what is served")
        for field in ({"to": 0}, {"to": 1.5}, {"who": ""}, {"why": ""}, {"why": "x" * 501}, {"force": True}, *CONTROLS):
            assert answer(**field)[0] == 422
        for to in ("0", "-1", "x", "9" * 40, "\u0661"):
            assert client.get(f"/rollback/{to}").status_code == 404
        layout.base("tiny").rename(layout.retired_base("tiny", "x"))
        assert answer()[0] == client.get("/rollback/1").status_code == 409
        assert "no base 'tiny'" in answer()[1]
    assert served.chain(layout).head_number() == 2


def test_a_rollback_on_a_full_disk_says_so_and_leaves_what_is_served(layout: Layout, base: OpenBase) -> None:
    two_versions(layout, base)
    with serving(layout) as (client, _), failing_fsync():
        refused = client.post("/rollback", json=WANTED, headers=AN_OPERATOR)
        assert refused.status_code == 500
        assert "the run folder cannot be written: No space left on device" in refused.json()["error"]
        assert "freshet publish rollback" in refused.json()["hint"]
    assert served.chain(layout).head_number() == 2


def test_an_operators_token_that_everybody_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("the same\n")
    both = ServingSettings(token=SecretStr("the same"), operator_token_file=str(path))
    with pytest.raises(UsageError, match="the token of operators is that of everybody"):
        both.tokens()
    assert ServingSettings(operator_token_file=str(path)).tokens() == Tokens("", "the same")
