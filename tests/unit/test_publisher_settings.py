"""Settings of publisher and serving: where item vectors go."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.layout import Layout
from contracts.settings import CONFIG_FOLDER
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
