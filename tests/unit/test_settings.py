"""Settings: files say what the code says, the environment wins over a file, nothing unknown passes in silence."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo

from contracts.errors import UsageError
from contracts.settings import CONFIG_FOLDER, StageSettings
from publisher.settings import PublisherSettings
from serving.settings import ServingSettings
from streams.settings import StreamsSettings
from tests.support.source_tree import ROOT
from trainer.settings import TrainerSettings

STAGES: list[type[StageSettings]] = [StreamsSettings, TrainerSettings, PublisherSettings, ServingSettings]


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = 1
    name: str = "plain"


class ToySettings(StageSettings):
    """Settings of a stage that does not exist."""

    stage: ClassVar[str] = "toy"

    size: int = Field(3, ge=1)
    title: str = "nothing"
    inner: Inner = Inner()


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy's file, not yet there."""
    monkeypatch.setenv(CONFIG_FOLDER, str(tmp_path))
    return tmp_path / "toy.toml"


def leaves(model: type[BaseModel], *path: str) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every key of a model, those of tables by their path."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, *path, name)
        elif get_origin(field.annotation) is not tuple:  # an array of tables has no default to show, and no variable
            yield (*path, name), field


def value_at(settings: object, path: tuple[str, ...]) -> Any:
    for name in path:
        settings = settings[name] if isinstance(settings, dict) else getattr(settings, name)
    return settings


def plain(value: Any) -> Any:
    """The value as a file or a variable has it: a secret too."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def another(field: FieldInfo) -> Any:
    """A value that the field may have and has not by default."""
    default = plain(field.get_default())
    if field.examples:
        return field.examples[0]
    if get_origin(field.annotation) is Literal:
        return next(choice for choice in get_args(field.annotation) if choice != default)
    return default + "x" if isinstance(default, str) else type(default)(default / 2) or default + 1


KEYS = [(stage, path, field) for stage in STAGES for path, field in leaves(stage)]
KEY_NAMES = [".".join((stage.stage, *path)) for stage, path, _ in KEYS]


def test_without_a_file_the_defaults_hold(toml: Path) -> None:
    assert not toml.exists()
    assert ToySettings.load() == ToySettings(size=3, title="nothing", inner=Inner())


def test_a_file_wins_over_the_defaults_the_environment_over_the_file_and_the_caller_over_both(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text('size = 5\ntitle = "file"\n[inner]\ndepth = 5\nname = "file"\n')
    assert ToySettings.load().inner == Inner(depth=5, name="file")
    monkeypatch.setenv("FRESHET_TOY_TITLE", "environment")
    monkeypatch.setenv("FRESHET_TOY_INNER__DEPTH", "7")
    found = ToySettings.load()
    assert (found.size, found.title, found.inner) == (5, "environment", Inner(depth=7, name="file"))
    assert ToySettings.load(title="caller").title == "caller"


@pytest.mark.parametrize(
    ("text", "key"),
    [("sise = 3", "sise"), ("[inner]\ndept = 3", "inner.dept"), ("[other]\nsize = 3", "other")],
)
def test_an_unknown_key_of_a_file_is_an_error_that_names_it(toml: Path, text: str, key: str) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError, match=f"setting '{key}' of stage toy") as error:
        ToySettings.load()
    assert error.value.exit_code == 2
    assert str(toml) in error.value.hint


@pytest.mark.parametrize("name", ["FRESHET_TOY_SISE", "FRESHET_TOY_INNER__DEPT", "freshet_toy_sise"])
def test_an_unknown_variable_is_an_error_that_names_it(toml: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    with pytest.raises(UsageError) as error:
        ToySettings.load()
    assert name in str(error.value) or "'inner.dept'" in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [("SIZE", "many", "size"), ("SIZE", "0", "size"), ("INNER__DEPTH", "deep", "inner.depth")],
)
def test_a_wrong_value_of_a_variable_is_an_error_that_names_the_key(
    toml: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str
) -> None:
    monkeypatch.setenv(f"FRESHET_TOY_{variable}", value)
    with pytest.raises(UsageError, match=f"setting '{key}' of stage toy"):
        ToySettings.load()


def test_a_table_that_is_no_table_is_an_error(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_TOY_INNER", "{not json")
    with pytest.raises(UsageError, match=r"FRESHET_TOY_\* cannot be read.*inner"):
        ToySettings.load()


@pytest.mark.parametrize(("text", "key"), [('size = "many"', "size"), ("title = 3", "title"), ("inner = 3", "inner")])
def test_a_wrong_type_in_a_file_is_an_error_that_names_the_key(toml: Path, text: str, key: str) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError, match=f"setting '{key}' of stage toy"):
        ToySettings.load()


@pytest.mark.parametrize("text", ["size: 3", "size = ", "[inner", "\x00"])
def test_a_file_that_is_not_toml_is_an_error_that_names_it(toml: Path, text: str) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError, match=r"toy\.toml is not TOML"):
        ToySettings.load()


def test_settings_do_not_change_after_they_are_read(toml: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(ToySettings.load(), "size", 4)  # noqa: B010 (mypy would refuse the assignment)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.stage)
def test_the_file_of_a_stage_lists_every_key_with_its_default(stage: type[StageSettings]) -> None:
    text = (ROOT / "infra" / "config" / f"{stage.stage}.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    defaults = {path: plain(field.get_default()) for path, field in leaves(stage)}
    assert {path: value_at(document, path) for path in defaults} == defaults
    assert stage.load() == stage.model_construct()


@pytest.mark.parametrize(("stage", "path", "field"), KEYS, ids=KEY_NAMES)
def test_every_key_of_a_stage_can_be_set_by_its_variable(
    stage: type[StageSettings], path: tuple[str, ...], field: FieldInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = another(field)
    monkeypatch.setenv(f"FRESHET_{stage.stage.upper()}_{'__'.join(path).upper()}", str(value))
    assert plain(value_at(stage.load(), path)) == value


def test_what_the_command_line_does_not_give_comes_from_elsewhere() -> None:
    assert StreamsSettings.load(topic=None) == StreamsSettings.load()
    assert StreamsSettings.load(topic="other").topic == "other"
