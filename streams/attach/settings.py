"""The `[[source]]` tables of streams.toml: which topics of other people become events, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.events import Stage
from streams.attach.paths import parsed

Format = Literal["json", "avro", "protobuf"]
TimeUnit = Literal["ms", "s", "us", "iso"]


def _one(text: str) -> str:
    if text and parsed(text).is_list:
        raise ValueError(f"{text!r} leads to a list: name one of its elements, like [0]")
    return text


def _any(text: str) -> str:
    if text:
        parsed(text)
    return text


OnePath = Annotated[str, AfterValidator(_one)]
NeededPath = Annotated[str, Field(min_length=1), AfterValidator(_one)]
AnyPath = Annotated[str, AfterValidator(_any)]
Features = Annotated[dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")], NeededPath], Field(max_length=64)]


class _Source(BaseModel):
    """What all kinds have: the topic, how its values are written, and when a record came in.

    `ingest` empty: Kafka's own time of the record. `where`: only records that hold these values are meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(min_length=1)
    format: Format = "json"
    schema_file: Path | None = None
    message: str = ""
    framing: Literal["none", "confluent"] = "none"
    schema_ids: tuple[int, ...] = ()
    key: Literal["user", "other"] = "other"
    where: dict[NeededPath, str] = {}
    time_unit: TimeUnit = "ms"
    ingest: OnePath = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.schema_file is None) != (self.format == "json"):
            wrong = "needs schema_file" if self.schema_file is None else "has no use for schema_file"
            raise ValueError(f"format {self.format} {wrong}")
        if bool(self.message) != (self.format == "protobuf"):
            raise ValueError(f"format {self.format} {'has no use for' if self.message else 'needs'} message")
        if self.schema_ids and self.framing == "none":
            raise ValueError('schema_ids are in the header of a schema registry: set framing = "confluent"')
        return self


class ClickSource(_Source):
    """A topic of clicks. `request` and `event_id` empty: not known; a record's place then stands for its event id."""

    kind: Literal["click"]
    user: NeededPath
    item: NeededPath
    time: NeededPath
    request: OnePath = ""
    event_id: OnePath = ""
    discrete: Features = {}
    continuous: Features = {}


class RequestSource(_Source):
    """A topic of answered requests. `stage` leads to one value per `rejected` item, or one for all; empty: rank."""

    kind: Literal["request"]
    user: NeededPath
    request: NeededPath
    time: NeededPath
    shown: AnyPath = ""
    rejected: AnyPath = ""
    stage: AnyPath = ""
    stages: dict[str, Stage] = {}
    discrete: Features = {}
    continuous: Features = {}
    arm: OnePath = ""
    served_version: OnePath = ""


class ItemSource(_Source):
    """A topic of items; `discrete` and `continuous` are their content."""

    kind: Literal["item"]
    item: NeededPath
    discrete: Features = {}
    continuous: Features = {}
    available_from: OnePath = ""
    available_until: OnePath = ""


SourceTable = Annotated[ClickSource | RequestSource | ItemSource, Field(discriminator="kind")]
AnySource = ClickSource | RequestSource | ItemSource
