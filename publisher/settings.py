"""Settings of the publisher; infra/config/publisher.toml is the commented form."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from contracts.layout import Layout
from contracts.settings import MilvusUri, RedisUrl, SettingsTable, StageSettings

IndexKind = Literal["HNSW", "IVF_FLAT", "IVF_SQ8", "FLAT"]


class Limits(SettingsTable):
    """Beyond these a version is refused, unless a person overrules it; see `publisher.limits`."""

    norm_factor: float = Field(20.0, gt=0)
    most_at_cap: float = Field(0.05, ge=0, le=1)
    most_common_norm: float = Field(100.0, gt=0)
    most_degrees: float = Field(75.0, gt=0, le=180)
    touched_factor: float = Field(4.0, gt=1)
    forecast_from: int = Field(5, ge=1)
    forecast_rows: int = Field(100, ge=0)
    recall_clicks: int = Field(500, ge=1)
    most_ahead_seconds: float = Field(3600.0, ge=0)
    most_bytes: int = Field(8_000_000_000, ge=1)


class Sinks(SettingsTable):
    """Where else the served user rows are copied to; see `publisher.sinks`."""

    redis_url: RedisUrl = SecretStr("")
    milvus: bool = False
    prefix: str = Field("freshet_users", pattern=r"^[A-Za-z][A-Za-z0-9_:\-]{0,63}$")
    timeout_seconds: float = Field(10.0, gt=0)


class PublisherSettings(StageSettings):
    """Where item vectors go, how they are indexed, when `publish run` publishes, and what it refuses."""

    stage: ClassVar[str] = "publisher"
    shared_variables: ClassVar[dict[str, str]] = {"milvus_uri": "MILVUS_URI"}

    milvus_uri: MilvusUri = ""
    index: IndexKind = "HNSW"
    hnsw_links: int = Field(default=24, ge=2, le=2048)
    hnsw_effort: int = Field(default=200, ge=8)
    ivf_lists: int = Field(default=128, ge=1, le=65_536)
    batch: int = Field(default=4096, ge=1, le=16_384)
    timeout_seconds: float = Field(default=120.0, gt=0)
    interval_seconds: float = Field(default=1800.0, gt=0)
    poll_seconds: float = Field(default=5.0, gt=0)
    cut_over: Literal["automatic", "by hand"] = "automatic"
    rollback_after_seconds: float = Field(default=7200.0, ge=0)
    keep_versions: int = Field(default=336, ge=1)
    keep_days: float = Field(default=7.0, ge=0)
    limits: Limits = Limits()
    sinks: Sinks = Sinks()

    def store_uri(self, layout: Layout) -> str:
        """Return the vector store: the setting, else the Milvus Lite file of the run folder."""
        return self.milvus_uri or str(layout.item_store())
