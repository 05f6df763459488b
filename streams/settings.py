"""Settings of the streams stage: infra/config/streams.toml, FRESHET_STREAMS_*."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from contracts.settings import StageSettings
from streams.access import Access, SaslMechanism, SecurityProtocol, password_from
from streams.attach.settings import SourceTable
from streams.clock import Leaps
from streams.join import Windows
from streams.logs import LogFormat, LogLevel
from streams.pipeline import Rotation


class StreamsSettings(StageSettings):
    """What a stream worker and a replay need to know."""

    stage: ClassVar[str] = "streams"

    bootstrap: str = "localhost:9092"
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    sasl_password_file: str = ""
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    topic: str = "events"
    group: str = "freshet-streams"
    dead_letter_topic: str = ""
    items_topic: str = "items"
    attach_group: str = "freshet-attach"
    attach_records: int = Field(5000, ge=1)
    attach_tick_seconds: int = Field(5, ge=1, le=600)
    source: tuple[SourceTable, ...] = ()
    rotate_samples: int = Field(4096, ge=1)
    rotate_seconds: int = Field(60, ge=1)
    replay_rotate_seconds: int = Field(3600, ge=1, le=3600)
    join_minutes: int = Field(30, ge=1)
    late_hours: int = Field(24, ge=1)
    park_seconds: int = Field(120, ge=1)
    dedupe_hours: int = Field(24, ge=1)
    leap_minutes: int = Field(60, ge=1)
    leap_records: int = Field(64, ge=1)
    tick_seconds: int = Field(60, ge=1)
    session_seconds: int = Field(10, ge=1, le=300)
    watchdog_seconds: int = Field(60, ge=0)
    http_host: str = "127.0.0.1"
    http_port: int = Field(0, ge=0, le=65_535)
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"

    @cached_property
    def access(self) -> Access:
        """The way to the brokers. Raises `OperatorError` where the settings contradict each other or lack a file."""
        return Access(
            bootstrap=self.bootstrap,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            sasl_username=self.sasl_username,
            sasl_password=password_from(self.sasl_password, self.sasl_password_file),
            tls_ca_file=_path(self.tls_ca_file),
            tls_certificate_file=_path(self.tls_certificate_file),
            tls_key_file=_path(self.tls_key_file),
        )

    @property
    def windows(self) -> Windows:
        """The joiner's windows."""
        return Windows(
            join_ms=self.join_minutes * 60_000,
            late_ms=self.late_hours * 3_600_000,
            park_ms=self.park_seconds * 1000,
            dedupe_ms=self.dedupe_hours * 3_600_000,
            leaps=Leaps(self.leap_minutes * 60_000, self.leap_records),
        )

    @property
    def rotation(self) -> Rotation:
        """When shards rotate."""
        return Rotation(self.rotate_samples, self.rotate_seconds * 1000)

    @property
    def replay_rotation(self) -> Rotation:
        """When shards of a replay rotate: nobody waits for them to be fresh, and fewer commits are quicker."""
        return Rotation(self.rotate_samples, self.replay_rotate_seconds * 1000)


def _path(name: str) -> Path | None:
    return Path(name).expanduser() if name else None
