"""Processes and vector stores that die or get in each other's way: readers have the old version or the new, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts import served
from contracts.bases import OnlineSettings, OpenBase
from contracts.errors import MissingServer
from contracts.layout import Layout
from infra.milvus.server import MilvusServer
from publisher import item_index, promotion
from publisher.item_index import ItemIndex
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.answer import Answer
from serving.retriever import Retriever
from serving.settings import ServingSettings
from tests.support.bases import Tiny, append_round, tiny_base
from tests.support.servers import unique_name

PUBLISH = "import sys; from publisher.commands import once; sys.exit(once(sys.argv[1:]))"
HOLD = """
import sys
from publisher.item_index import ItemIndex
from publisher.settings import PublisherSettings
with ItemIndex(sys.argv[1], PublisherSettings()):
    print("held", flush=True)
    sys.stdin.read()
"""
BEFORE_COMMIT = [f"publish.promote.{n}" for n in range(4)]
STAGING = ["publish.stage.1", "publish.stage.2", "publish.stage.2@3", "publish.stage.3"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def killed_at(layout: Layout, point: str, base_id: str, uri: str = "") -> None:
    """Publish in a process that kills itself at a crash point."""
    environment = {
        **os.environ,
        "FRESHET_CRASH_AT": point,
        "FRESHET_PUBLISHER_BATCH": "16",
        "FRESHET_PUBLISHER_MILVUS_URI": uri,
    }
    command = [sys.executable, "-c", PUBLISH, "--root", str(layout.root), "--base", base_id]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def check_repaired(layout: Layout, base: OpenBase, settings: PublisherSettings, version: int) -> None:
    """A publish makes version `version` of the base, if it is not there yet, and its items are whole in the store."""
    publish_once(layout, settings, Order("someone", "again", base.manifest.base_id))
    chain = served.chain(layout)
    assert chain.verify() == version
    assert chain.read(version).body.base_digest == base.digest
    with ItemIndex(settings.store_uri(layout), settings) as index:
        assert index.holds(chain.read(version).body.collections[0], item_index.vectors_of(base))
    assert publish_once(layout, settings, Order("someone", "again", base.manifest.base_id)) is None


@pytest.mark.parametrize("point", [*BEFORE_COMMIT, *STAGING, "publish.promote.4"])
def test_a_publisher_killed_at_any_step_leaves_the_old_version_or_the_new_and_the_next_repairs(
    layout: Layout, point: str
) -> None:
    settings = PublisherSettings(milvus_uri="")
    publish_once(layout, settings, Order("someone", "first", tiny_base(layout).manifest.base_id))
    second = tiny_base(layout, Tiny("second", seed=1))
    killed_at(layout, point, "second")
    assert served.chain(layout).head_number() == (2 if point == "publish.promote.4" else 1)
    check_repaired(layout, second, settings, 2)


@pytest.mark.parametrize("point", ["publish.promote.0", "publish.promote.3", "publish.promote.4"])
def test_a_publisher_of_deltas_killed_at_any_step_loses_none_of_them(layout: Layout, point: str) -> None:
    base = tiny_base(layout)
    publish_once(layout, PublisherSettings(), Order("someone", "first", "tiny"))
    append_round(layout, base, 1)
    killed_at(layout, point, "tiny")
    append_round(layout, base, 2)
    publish_once(layout, PublisherSettings(), Order("someone", "again"))
    head = served.head(layout)
    assert head is not None
    assert [served.included(head.body, partition) for partition in (0, 1)] == [[1, 2], [1, 2]]


@pytest.mark.parametrize("point", ["publish.stage.2@2", "publish.stage.3"])
def test_a_half_staged_collection_on_a_server_is_made_anew(
    layout: Layout, milvus_server: MilvusServer, point: str
) -> None:
    base = tiny_base(layout, Tiny(unique_name("half"), seed=3))
    killed_at(layout, point, base.manifest.base_id, milvus_server.uri)
    assert served.head(layout) is None
    check_repaired(layout, base, PublisherSettings(milvus_uri=milvus_server.uri), 1)


@contextmanager
def held_by_another_process(uri: str) -> Iterator[None]:
    command = [sys.executable, "-c", HOLD, uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate("")


def test_a_file_that_another_process_holds_is_named_with_what_to_do(
    layout: Layout, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny_base(layout)
    with held_by_another_process(str(layout.item_store())):
        with pytest.raises(MissingServer, match=r"items\.db cannot be used") as raised:
            publish_once(layout, PublisherSettings(), Order("someone", "first"))
        assert "One process at a time" in raised.value.hint
        assert "MILVUS_URI" in raised.value.hint
    assert "Traceback" not in capfd.readouterr().err
    assert publish_once(layout, PublisherSettings(), Order("someone", "again")) is not None


def test_deltas_are_published_and_answered_while_another_process_holds_the_file(layout: Layout) -> None:
    base = tiny_base(layout)
    publish_once(layout, PublisherSettings(), Order("someone", "first"))
    append_round(layout, base, 1)
    with held_by_another_process(str(layout.item_store())):
        assert publish_once(layout, PublisherSettings(), Order("someone", "second")) is not None
        retriever = Retriever(layout, ServingSettings(retry_seconds=0.0))
        away = retriever.retrieve("u1", 10)
    assert away.search.startswith("exact, for Milvus is away (")
    found = retriever.retrieve("u1", 10)
    retriever.close()
    assert found.search == "milvus"
    assert found.items == away.items


def test_a_reader_in_the_process_of_the_publisher_outlives_its_letting_go_of_the_file(layout: Layout) -> None:
    tiny_base(layout)
    publish_once(layout, PublisherSettings(), Order("someone", "first"))
    retriever = Retriever(layout, ServingSettings())
    assert retriever.retrieve("u1", 10).search == "milvus"
    tiny_base(layout, Tiny("second", seed=1))
    publish_once(
        layout, PublisherSettings(), Order("someone", "the publisher opens and closes the same file", "second")
    )
    assert retriever.retrieve("u1", 10).search == "milvus"
    retriever.refresh()
    assert (retriever.retrieve("u1", 10).search, retriever.view.version) == ("milvus", 2)
    retriever.close()


@pytest.mark.server
def test_a_server_that_dies_and_comes_back_costs_nothing_but_the_word_in_the_answer(layout: Layout) -> None:
    base = tiny_base(layout)
    with MilvusServer() as server:
        settings = PublisherSettings(milvus_uri=server.uri)
        publish_once(layout, settings, Order("someone", "first"))
        retriever = Retriever(layout, ServingSettings(milvus_uri=server.uri, retry_seconds=0.0, timeout_seconds=20.0))
        before = retriever.retrieve("u1", 10)
        append_round(layout, base, 1)
        publish_once(layout, settings, Order("someone", "a publisher in the reader's process asks the server too"))
        assert retriever.retrieve("u1", 10).search == "milvus"
        server.kill()
        away = retriever.retrieve("u1", 10)
        append_round(layout, base, 2)
        assert publish_once(layout, settings, Order("someone", "deltas need no vector store")) is not None
        server.start()
        back = retriever.retrieve("u1", 10)
        retriever.close()
    assert (before.search, back.search) == ("milvus", "milvus")
    assert away.search.startswith("exact, for Milvus is away (")
    assert before.items == away.items == back.items


@pytest.mark.parametrize("point", ["publish.stage.1", "publish.stage.3", "publish.promote.1"])
@pytest.mark.server
def test_a_server_that_dies_while_staging_or_verifying_leaves_the_old_version(
    layout: Layout, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MilvusServer() as server:

        def die(reached: str) -> None:
            if reached == point:
                server.kill()

        for module in (promotion, item_index):
            monkeypatch.setattr(module, "reach", die)
        base = tiny_base(layout, Tiny(unique_name("dies")))
        settings = PublisherSettings(milvus_uri=server.uri, timeout_seconds=5.0)
        with pytest.raises(MissingServer):
            publish_once(layout, settings, Order("someone", "first"))
        assert served.head(layout) is None
        monkeypatch.undo()
        server.start()
        check_repaired(layout, base, PublisherSettings(milvus_uri=server.uri), 1)


def test_no_answer_mixes_items_of_two_bases_while_they_are_cut_over(
    layout: Layout, milvus_server: MilvusServer
) -> None:
    """Each base names its items with a letter of its own; readers ask without a pause while 20 cut-overs go by."""
    settings = PublisherSettings(milvus_uri=milvus_server.uri)
    names = {letter: unique_name(f"base_{letter}") for letter in "ab"}
    for seed, (letter, name) in enumerate(names.items()):
        tiny_base(layout, Tiny(name, seed=seed, item_name=letter, online=OnlineSettings(bias_weight=0.5)))
    publish_once(layout, settings, Order("someone", "first", names["a"]))
    retriever, ended = Retriever(layout, ServingSettings(milvus_uri=milvus_server.uri)), threading.Event()
    seen: list[Answer] = []

    def read() -> None:
        while not ended.is_set():
            seen.append(retriever.retrieve("u1", 10))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(20):
        order = Order("someone", "to and fro", names["ba"[turn % 2]])
        assert publish_once(layout, settings, order) is not None
        assert retriever.refresh()
    ended.set()
    for reader in readers:
        reader.join()
    retriever.close()
    assert {answer.search for answer in seen} == {"milvus"}
    assert {answer.base_id for answer in seen} == set(names.values())
    for answer in seen:
        letters = {item.item_id[0] for item in answer.items}
        assert {names[letter] for letter in letters} == {answer.base_id}
