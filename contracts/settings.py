"""Settings of a stage: a TOML file in infra/config, every key overridable by the environment, unknown keys refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from contracts.errors import UsageError

CONFIG_FOLDER = "FRESHET_CONFIG"
MILVUS_VARIABLE = "MILVUS_URI"


def _redis(url: SecretStr) -> SecretStr:
    _refuse_address(url.get_secret_value(), ("redis", "rediss", "unix"), _REDIS)
    return url


def _milvus(uri: str) -> str:
    if not uri.endswith(".db"):
        _refuse_address(uri, ("http", "https", "tcp", "unix"), f"{_MILVUS}, nor a file that ends in .db")
    return uri


def _refuse_address(text: str, schemes: tuple[str, ...], example: str) -> None:
    """Refuse what the clients would raise errors of their own for; it is not repeated, for it may hold a password."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in schemes and parts.port != 0
    except ValueError:
        fine = False
    if text and not fine:
        raise ValueError(f"it is no address like {example}")


_REDIS, _MILVUS = "redis://host:6379/0", "http://host:19530"
RedisUrl = Annotated[SecretStr, AfterValidator(_redis), Field(examples=[_REDIS])]
MilvusUri = Annotated[str, AfterValidator(_milvus), Field(examples=[_MILVUS])]


def without_password(uri: str) -> str:
    """Return an address as it may be printed: without the user and the password that may stand before its host."""
    return re.sub(r"(?<=://).*@", "", uri, flags=re.DOTALL)


@contextmanager
def milvus_variable_set_aside() -> Iterator[None]:
    """Import pymilvus within this: at import it reads MILVUS_URI, and repeats a password where it refuses what it says.

    Settings check the variable, and each client is given the address that it connects to.
    """
    said = os.environ.get(MILVUS_VARIABLE)
    os.environ[MILVUS_VARIABLE] = ""  # not deleted: pymilvus would look for it in a .env file
    try:
        yield
    finally:
        if said is None:
            del os.environ[MILVUS_VARIABLE]
        else:
            os.environ[MILVUS_VARIABLE] = said


def config_folder() -> Path:
    """Return the folder of the TOML files: `$FRESHET_CONFIG`, else infra/config of this checkout."""
    return Path(os.environ.get(CONFIG_FOLDER) or Path(__file__).parent.parent / "infra" / "config")


class SettingsTable(BaseModel):
    """A table of settings, `[name]` in a stage's file: a key that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(BaseSettings):
    """Base of a stage's settings: `stage` names its file and its variables, `FRESHET_<STAGE>_<KEY>` (nested: `__`).

    `shared_variables`: by key a variable of all stages; it wins over the file, the stage's own variable over it. Empty
    is as good as not set.
    """

    stage: ClassVar[str]
    shared_variables: ClassVar[dict[str, str]] = {}
    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the file and the environment; `overrides` (from the command line; None: not given) win.

        Raises `UsageError`.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        prefix = f"FRESHET_{cls.stage.upper()}_"
        cls._refuse_unknown_variables(prefix)
        try:
            return cls(_env_prefix=prefix, **given)
        except ValidationError as error:
            first, *others = error.errors(include_url=False, include_input=False)
            also = f"Also wrong: {', '.join(_key(other['loc']) for other in others)}. " if others else ""
            raise UsageError(
                f"setting {_key(first['loc'])!r} of stage {cls.stage}: {_wrong(first['type'], first['msg'])}",
                hint=f"{also}See {config_folder() / (cls.stage + '.toml')} and the variables {prefix}*.",
            ) from None
        except SettingsError as error:
            raise UsageError(f"a variable {prefix}* cannot be read: {error}") from None
        except ValueError as error:  # tomllib's decode error
            raise UsageError(f"{config_folder() / (cls.stage + '.toml')} is not TOML: {error}") from None

    @classmethod
    def _refuse_unknown_variables(cls, prefix: str) -> None:
        """The settings library ignores a variable that it does not know; a mistyped one must not pass in silence."""
        for name in sorted(os.environ):
            key = name.upper().removeprefix(prefix).lower().partition("__")[0]
            if name.upper().startswith(prefix) and key not in cls.model_fields:
                raise UsageError(
                    f"no setting {key!r} of stage {cls.stage} for the variable {name}",
                    hint=f"See {config_folder() / (cls.stage + '.toml')} for all of them.",
                )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: command line, environment (the stage's own variables first), file."""
        shared = {key: os.environ[name] for key, name in cls.shared_variables.items() if os.environ.get(name)}
        toml = TomlConfigSettingsSource(settings_cls, config_folder() / f"{cls.stage}.toml")
        return init_settings, env_settings, InitSettingsSource(settings_cls, shared), toml


def _key(place: tuple[int | str, ...]) -> str:
    """Return a key as one would look for it; the tables of an array count from 1: `source[1].click.user`."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _wrong(kind: str, message: str) -> str:
    known = {"extra_forbidden": "there is no such setting", "union_tag_not_found": "it does not say its kind"}
    return known.get(kind, message.removeprefix("Value error, "))
