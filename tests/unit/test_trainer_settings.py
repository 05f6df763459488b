"""Settings of the trainer: the file, the classes and the base's contract say the same."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from contracts.bases import OnlineSettings
from contracts.errors import UsageError
from contracts.settings import config_folder
from trainer.settings import OnlineUpdate, TrainerSettings


def test_the_file_names_every_setting_with_its_default() -> None:
    file = tomllib.loads((config_folder() / "trainer.toml").read_text())
    assert file == TrainerSettings.model_construct().model_dump()


def test_the_online_table_has_every_online_setting_of_a_base() -> None:
    assert set(OnlineUpdate.model_fields) == {field.name for field in msgspec.structs.fields(OnlineSettings)}
    given = OnlineUpdate(beta=0.5)
    assert msgspec.structs.asdict(given.chosen()) == given.model_dump()


def test_a_publish_interval_that_splits_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="multiple of online"):
        TrainerSettings.load(publish_interval_ms=1_000_000)


def test_a_half_life_below_ten_minutes_is_refused() -> None:
    assert TrainerSettings.load(online={"half_life_ms": 600_000}).online.half_life_ms == 600_000
    with pytest.raises(UsageError, match="half_life_ms"):
        TrainerSettings.load(online={"half_life_ms": 599_999})


def test_a_nested_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__OWN_STEP", "0.25")
    settings = TrainerSettings.load()
    assert settings.online.own_step == 0.25
    assert settings.online.common_step == OnlineUpdate().common_step


def test_an_unknown_key_of_a_table_is_refused() -> None:
    with pytest.raises(UsageError, match="speed"):
        TrainerSettings.load(online={"speed": 3})
