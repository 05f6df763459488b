"""Settings of serving; infra/config/serving.toml is the commented form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from contracts.errors import MissingInput, UsageError
from contracts.layout import Layout
from contracts.settings import MilvusUri, RedisUrl, SettingsTable, StageSettings

SERVED = "served"


class Arm(SettingsTable):
    """A share of the users who are answered by something else than the newest served version."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")
    share: float = Field(gt=0, le=1)
    serves: Literal["frozen", "newest"] | int


@dataclass(frozen=True)
class Tokens:
    """Bearer tokens, empty for none: `caller` opens every page, `operator` rolls back as well."""

    caller: str = ""
    operator: str = ""


class ServingSettings(StageSettings):
    """Where item vectors are searched and how hard, how answers are given, and to whom."""

    stage: ClassVar[str] = "serving"
    shared_variables: ClassVar[dict[str, str]] = {"milvus_uri": "MILVUS_URI", "redis_url": "REDIS_URL"}

    search: Literal["milvus", "exact"] = "milvus"
    milvus_uri: MilvusUri = ""
    hnsw_effort: int = Field(default=512, ge=1, le=32_768)
    ivf_probes: int = Field(default=32, ge=1, le=65_536)
    timeout_seconds: float = Field(default=5.0, gt=0)
    retry_seconds: float = Field(default=5.0, ge=0)
    tower: Literal["fp32", "int8"] = "fp32"
    tower_threads: int = Field(default=1, ge=1)
    cached_vectors: int = Field(default=10_000, ge=0)
    redis_url: RedisUrl = SecretStr("")
    redis_timeout_seconds: float = Field(default=0.05, gt=0)
    redis_keep_seconds: int = Field(default=3600, ge=1)
    refresh_seconds: float = Field(default=0.5, gt=0)
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8300, ge=0, le=65_535)
    token: SecretStr = SecretStr("")
    token_file: str = ""
    operator_token: SecretStr = SecretStr("")
    operator_token_file: str = ""
    max_request_bytes: int = Field(default=262_144, ge=1024)
    threads: int = Field(default=8, ge=1, le=256)
    arm_salt: str = ""
    arm: tuple[Arm, ...] = ()

    @model_validator(mode="after")
    def _arms_divide_the_users(self) -> ServingSettings:
        names = [arm.name for arm in self.arm]
        if len({*names, SERVED}) <= len(names):
            raise ValueError(f"arms need names of their own, and none may be {SERVED!r}")
        if sum(arm.share for arm in self.arm) > 1 + 1e-9:
            raise ValueError("the shares of all arms together are more than 1")
        if any(isinstance(arm.serves, int) and arm.serves < 1 for arm in self.arm):
            raise ValueError("an arm serves 'frozen', 'newest', or the number of a version")
        return self

    def store_uri(self, layout: Layout) -> str:
        """Return the vector store: the setting, else the Milvus Lite file of the run folder."""
        return self.milvus_uri or str(layout.item_store())

    @property
    def has_operator(self) -> bool:
        """Whether there is a token with which a version can be rolled back over HTTP."""
        return bool(self.operator_token_file or self.operator_token.get_secret_value())

    def tokens(self) -> Tokens:
        """Return the tokens, empty for none. Raises `MissingInput`, `UsageError`."""
        found = Tokens(
            _token("token_file", self.token_file, self.token),
            _token("operator_token_file", self.operator_token_file, self.operator_token),
        )
        if found.operator and found.operator == found.caller:
            hint = "Whoever asks for items could roll back: give operators a token of their own."
            raise UsageError("the token of operators is that of everybody", hint=hint)
        return found


def _token(name: str, file: str, direct: SecretStr) -> str:
    if not file:
        return direct.get_secret_value()
    path = Path(file)
    try:
        token = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except OSError as error:
        raise MissingInput(f"{name} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} {path} is no text", hint="Its first line is the token.") from None
    if not token:
        raise UsageError(f"{name} {path} is empty", hint="Its first line is the token.")
    return token
