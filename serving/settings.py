"""Settings of serving; infra/config/serving.toml is the commented form."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from contracts.layout import Layout
from contracts.settings import StageSettings


class ServingSettings(StageSettings):
    """Where item vectors are searched, and how hard."""

    stage: ClassVar[str] = "serving"
    shared_variables: ClassVar[dict[str, str]] = {"milvus_uri": "MILVUS_URI"}

    search: Literal["milvus", "exact"] = "milvus"
    milvus_uri: str = ""
    hnsw_effort: int = Field(default=256, ge=1, le=32_768)
    ivf_probes: int = Field(default=32, ge=1, le=65_536)
    timeout_seconds: float = Field(default=5.0, gt=0)
    retry_seconds: float = Field(default=5.0, ge=0)
    tower_threads: int = Field(default=1, ge=1)

    def store_uri(self, layout: Layout) -> str:
        """Return the vector store: the setting, else the Milvus Lite file of the run folder."""
        return self.milvus_uri or str(layout.item_store())
