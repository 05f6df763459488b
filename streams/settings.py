"""Settings of the streams stage: infra/config/streams.toml, FRESHET_STREAMS_*."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from contracts.settings import StageSettings
from streams.join import Windows
from streams.pipeline import Rotation


class StreamsSettings(StageSettings):
    """What a stream worker and a replay need to know."""

    stage: ClassVar[str] = "streams"

    bootstrap: str = "localhost:9092"
    topic: str = "events"
    group: str = "freshet-streams"
    dead_letter_topic: str = ""
    rotate_samples: int = Field(4096, ge=1)
    rotate_seconds: int = Field(60, ge=1)
    join_minutes: int = Field(30, ge=1)
    late_hours: int = Field(24, ge=1)
    park_seconds: int = Field(120, ge=1)
    dedupe_hours: int = Field(24, ge=1)
    tick_seconds: int = Field(60, ge=1)

    @property
    def windows(self) -> Windows:
        """The joiner's windows."""
        return Windows(
            join_ms=self.join_minutes * 60_000,
            late_ms=self.late_hours * 3_600_000,
            park_ms=self.park_seconds * 1000,
            dedupe_ms=self.dedupe_hours * 3_600_000,
        )

    @property
    def rotation(self) -> Rotation:
        """When shards rotate."""
        return Rotation(self.rotate_samples, self.rotate_seconds * 1000)
