"""The process `freshet serve` as a person starts it: it waits, answers, follows, refuses in a sentence, and ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contracts.layout import Layout
from contracts.rollback import rollback
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from tests.support.bases import append_round, tiny_base
from tests.support.serving import COMMAND, served
from tests.support.workers import REPOSITORY, wait_for


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def asked(port: int, method: str, path: str, body: str | None = None, token: str = "") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def publish(layout: Layout) -> None:
    publish_once(layout, PublisherSettings(), Order("someone", "a test"))


def test_it_waits_for_the_first_version_follows_publishes_and_rollbacks_and_ends_in_order(layout: Layout) -> None:
    body = json.dumps({"user_id": "u1", "k": 3})
    with served(layout) as (port, process):
        assert asked(port, "POST", "/retrieve", body)[0] == 503
        base = tiny_base(layout)
        publish(layout)
        wait_for(lambda: asked(port, "GET", "/readyz")[0] == 200)
        first = asked(port, "POST", "/retrieve", body)[1]
        append_round(layout, base, 1)
        publish(layout)
        wait_for(lambda: asked(port, "GET", "/status")[1]["version"] == 2)
        rollback(layout, 1, "someone", "a test")
        wait_for(lambda: asked(port, "GET", "/status")[1]["version"] == 3)
        again = asked(port, "POST", "/retrieve", body)[1]
        assert (first["version"], again["version"], again["items"]) == (1, 3, first["items"])
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        said = process.stdout.read()
        assert process.wait(timeout=20) == 0
        assert "Not ready yet: nothing is served yet" in said
        assert said.rstrip().endswith("Ended.")


def test_the_token_of_the_file_opens_it(layout: Layout, tmp_path: Path) -> None:
    tiny_base(layout)
    publish(layout)
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    with served(layout, FRESHET_SERVING_TOKEN_FILE=str(path)) as (port, _):
        assert asked(port, "GET", "/status")[0] == 401
        assert asked(port, "GET", "/status", token="s3cret")[0] == 200


def refusal(layout: Layout, *arguments: str, **settings: str) -> str:
    environment = {**os.environ, "FRESHET_SERVING_SEARCH": "exact", **settings}
    command = [*COMMAND, "--root", str(layout.root), *arguments]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_what_keeps_it_from_starting_is_said_in_a_sentence(layout: Layout, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(layout, "--port", str(port))
        assert f"cannot listen at 127.0.0.1 port {port}: Address already in use" in said
        assert "--port" in said
    assert "cannot be read: No such file" in refusal(layout, FRESHET_SERVING_TOKEN_FILE=str(tmp_path / "nowhere"))
    tiny_base(layout)
    publish(layout)
    (tmp_path / "serving.toml").write_text('search = "exact"\n[[arm]]\nname = "old"\nshare = 0.1\nserves = 9\n')
    said = refusal(layout, "--port", "0", FRESHET_CONFIG=str(tmp_path))
    assert "arm 'old' serves version 9, which does not exist" in said
