"""Settings of the trainer: infra/config/trainer.toml, FRESHET_TRAINER_*."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from contracts.bases import OnlineSettings
from contracts.settings import SettingsTable, StageSettings


class TowerShape(SettingsTable):
    """The shape of both towers; a warm start needs the parent's."""

    width: int = Field(64, ge=1, le=1024)
    hidden: int = Field(128, ge=1, le=8192)
    score: Literal["cosine", "dot"] = "cosine"
    temperature: float = Field(0.1, gt=0)


class FullRetrain(SettingsTable):
    """How a full retrain learns."""

    batch: int = Field(512, ge=1)
    min_steps: int = Field(200, ge=1)
    order: Literal["day", "hour", "minute", "click"] = "day"
    objective: Literal["listwise", "triplet_hinge", "triplet_logistic", "bpr", "pointwise"] = "listwise"
    margin: float = Field(1.0, gt=0)
    negatives_per_click: int = Field(2, ge=1, le=64)
    negatives: int = Field(1024, ge=1)
    negatives_from: Literal["count", "uniform", "in_batch"] = "count"
    hard_share: float = Field(0.0, ge=0, le=1)
    hard_negatives: int = Field(6, ge=1, le=64)
    dense_step: float = Field(2e-3, gt=0)
    row_step: float = Field(1e-2, gt=0)
    id_dropout: float = Field(0.1, ge=0, lt=1)
    own_scale: float = Field(0.3, ge=0, le=1)
    calibrate: bool = True
    min_item_clicks: int = Field(5, ge=1)
    min_feature_count: int = Field(10, ge=1)
    max_feature_values: int = Field(1000, ge=1)
    seed: int = Field(1, ge=0)


class DayLimits(SettingsTable):
    """How unlike the days before it a day may be; see `trainer.day_statistics`."""

    check: bool = True
    volume_factor: float = Field(4.0, gt=1)
    share_slack: float = Field(0.4, gt=0, le=1)
    deviations: float = Field(3.0, gt=0)


class Night(SettingsTable):
    """When a new base may take over, and how long its former's branch goes on; see `trainer.rebase`."""

    fit_clicks: int = Field(20_000, ge=0)
    kept_share: float = Field(0.5, ge=0, le=1)
    judge_ms: int = Field(21_600_000, ge=60_000)
    judge_clicks: int = Field(500, ge=1)
    branch_ms: int = Field(86_400_000, ge=0)
    look_seconds: float = Field(10.0, gt=0)


class OnlineUpdate(SettingsTable):
    """What a new base is told about the online update: `contracts.bases.OnlineSettings`, checked."""

    common_step: float = Field(0.3, ge=0)
    common_steps: int = Field(1, ge=0)
    own_step: float = Field(0.1, ge=0)
    learning_temperature: float = Field(4.0, gt=0)
    half_life_ms: int = Field(1_800_000, ge=600_000)
    beta: float = Field(1.0, ge=0)
    floor: float = Field(0.3, gt=0)
    bias_weight: float = 0.0
    block_samples: int = Field(64, ge=1)
    block_ms: int = Field(300_000, ge=1000)
    negatives: int = Field(1024, ge=0)
    norm_cap: float = Field(10.0, gt=0)
    admit_after: int = Field(1, ge=1)
    row_ttl_ms: int = Field(7_776_000_000, ge=86_400_000)
    most_clicks: int = Field(32, ge=1)

    def chosen(self) -> OnlineSettings:
        """Return the settings as a base carries them."""
        return OnlineSettings(**self.model_dump())


class TrainerSettings(StageSettings):
    """What a full retrain and an online worker need to know."""

    stage: ClassVar[str] = "trainer"

    topic: str = "events"
    day_zone: str = "UTC"
    publish_interval_ms: int = Field(1_800_000, ge=1000)
    poll_seconds: float = Field(0.2, gt=0)
    top_k: int = Field(20, ge=1)
    http_host: str = "127.0.0.1"
    http_port: int = Field(0, ge=0, le=65_535)
    towers: TowerShape = TowerShape()
    retrain: FullRetrain = FullRetrain()
    day: DayLimits = DayLimits()
    night: Night = Night()
    online: OnlineUpdate = OnlineUpdate()

    @model_validator(mode="after")
    def _interval_is_whole_blocks(self) -> TrainerSettings:
        if self.publish_interval_ms % self.online.block_ms:
            raise ValueError("publish_interval_ms must be a multiple of online.block_ms")
        return self
