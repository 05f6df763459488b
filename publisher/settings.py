"""Settings of the publisher; infra/config/publisher.toml is the commented form."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from contracts.layout import Layout
from contracts.settings import StageSettings

IndexKind = Literal["HNSW", "IVF_FLAT", "FLAT"]


class PublisherSettings(StageSettings):
    """Where item vectors go, how they are indexed, and how often `publish run` publishes."""

    stage: ClassVar[str] = "publisher"
    shared_variables: ClassVar[dict[str, str]] = {"milvus_uri": "MILVUS_URI"}

    milvus_uri: str = ""
    index: IndexKind = "HNSW"
    hnsw_links: int = Field(default=16, ge=2, le=2048)
    hnsw_effort: int = Field(default=200, ge=8)
    ivf_lists: int = Field(default=128, ge=1, le=65_536)
    batch: int = Field(default=4096, ge=1, le=16_384)
    timeout_seconds: float = Field(default=120.0, gt=0)
    interval_seconds: float = Field(default=1800.0, gt=0)

    def store_uri(self, layout: Layout) -> str:
        """Return the vector store: the setting, else the Milvus Lite file of the run folder."""
        return self.milvus_uri or str(layout.item_store())
