"""Settings of a stage: a TOML file in infra/config, every key overridable by the environment, unknown keys refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contracts.errors import UsageError

CONFIG_FOLDER = "FRESHET_CONFIG"


def config_folder() -> Path:
    """Return the folder of the TOML files: `$FRESHET_CONFIG`, else infra/config of this checkout."""
    return Path(os.environ.get(CONFIG_FOLDER) or Path(__file__).parent.parent / "infra" / "config")


class StageSettings(BaseSettings):
    """Base of a stage's settings: `stage` names its file and its variables, `FRESHET_<STAGE>_<KEY>` (nested: `__`)."""

    stage: ClassVar[str]
    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the file and the environment; `overrides` (from the command line) win. Raises `UsageError`."""
        try:
            return cls(_env_prefix=f"FRESHET_{cls.stage.upper()}_", **overrides)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"setting {key!r} of stage {cls.stage}: {first['msg']}",
                hint=f"See {config_folder() / (cls.stage + '.toml')} and the variables FRESHET_{cls.stage.upper()}_*.",
            ) from None
        except ValueError as error:  # tomllib's decode error
            raise UsageError(f"{config_folder() / (cls.stage + '.toml')} is not TOML: {error}") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: command line, environment, file."""
        toml = TomlConfigSettingsSource(settings_cls, config_folder() / f"{cls.stage}.toml")
        return init_settings, env_settings, toml
