"""Settings of publisher and serving: where item vectors go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.layout import Layout
from contracts.settings import CONFIG_FOLDER, without_password
from publisher.settings import PublisherSettings
from serving.settings import ServingSettings

STAGES = [PublisherSettings, ServingSettings]
HERE = Layout(Path("here"))


@pytest.mark.parametrize("stage", STAGES)
def test_the_vector_store_is_the_setting_else_the_variable_else_a_file_of_the_run_folder(
    stage: type[PublisherSettings | ServingSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILVUS_URI", raising=False)
    assert stage.load().store_uri(HERE) == "here/items.db"
    monkeypatch.setenv("MILVUS_URI", "http://one:19530")
    assert stage.load().store_uri(HERE) == "http://one:19530"
    monkeypatch.setenv(f"FRESHET_{stage.stage.upper()}_MILVUS_URI", "http://other:19530")
    assert stage.load().store_uri(HERE) == "http://other:19530"


@pytest.mark.parametrize("stage", STAGES)
def test_the_variable_of_the_vector_store_wins_over_the_file_and_the_stages_own_over_both(
    stage: type[PublisherSettings | ServingSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / f"{stage.stage}.toml").write_text('milvus_uri = "http://file:19530"\n')
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path))
    monkeypatch.setenv("MILVUS_URI", "")
    assert stage.load().store_uri(HERE) == "http://file:19530"
    monkeypatch.setenv("MILVUS_URI", "http://one:19530")
    assert stage.load().store_uri(HERE) == "http://one:19530"
    monkeypatch.setenv(f"FRESHET_{stage.stage.upper()}_MILVUS_URI", "http://other:19530")
    assert stage.load().store_uri(HERE) == "http://other:19530"
    assert stage.load(milvus_uri="http://asked:19530").store_uri(HERE) == "http://asked:19530"


@pytest.mark.parametrize("first", ["publisher.item_index", "publisher.milvus_sink", "serving.item_search"])
@pytest.mark.parametrize("said", ["root:S3cretPw@localhost:19530", "/abs/items.db"])
def test_pymilvus_does_not_read_the_variable_of_the_vector_store_by_itself(first: str, said: str) -> None:
    code = f"import {first}, os; print(os.environ['MILVUS_URI'])"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MILVUS_URI": said}, check=False)
    assert (found.stdout, found.stderr) == (f"{said}\n", "")


@pytest.mark.parametrize(
    ("uri", "printed"),
    [
        ("http://root:S3cretPw@host:19530", "http://host:19530"),
        ("https://root:S3@cret/Pw@host:19530/db", "https://host:19530/db"),
        ("http://host:19530", "http://host:19530"),
        ("/a@b/items.db", "/a@b/items.db"),
    ],
)
def test_an_address_is_printed_without_the_password_in_it(uri: str, printed: str) -> None:
    assert without_password(uri) == printed
