"""docs/operations.md says what the code says: metrics, keys of JSON, settings."""

from __future__ import annotations

import re

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from infra.doctor.checks import GROUPS
from infra.doctor.screen import Line
from streams.health import Health, PartitionHealth
from streams.inspection import PartitionFacts, ShardFacts
from streams.inspection_state import Entries, StateFacts
from streams.metrics import WorkerCollector
from streams.settings import StreamsSettings
from streams.vitals import Vitals
from tests.support.source_tree import ROOT
from trainer.explanation import Answer, AnswerItem, Click, Explanation, Fit, LeftItem, RowFacts, ScoreParts

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_metric_stands_in_the_table_and_no_other_does() -> None:
    metrics = CollectorRegistry()
    metrics.register(WorkerCollector("t", Vitals()))
    made = {family.name + "_total" * (family.type == "counter") for family in metrics.collect()}
    assert set(re.findall(r"^\| `(freshet_streams_\w+)`", TEXT, re.MULTILINE)) == made


def test_every_alert_asks_for_a_metric_that_there_is() -> None:
    made = set(re.findall(r"^\| `(freshet_streams_\w+)`", TEXT, re.MULTILINE))
    asked = {re.sub("_bucket$", "", name) for name in re.findall(r"freshet_streams_\w+", TEXT)}
    assert asked == made


STREAMS = [PartitionFacts, ShardFacts, StateFacts, Entries, Health, PartitionHealth]
DOCTOR = [Line]
EXPLAIN = [Explanation, Click, Fit, RowFacts, Answer, AnswerItem, LeftItem, ScoreParts]


@pytest.mark.parametrize("struct", STREAMS + DOCTOR + EXPLAIN)
def test_every_key_of_an_answer_is_named(struct: type[msgspec.Struct]) -> None:
    assert [f.encode_name for f in msgspec.structs.fields(struct) if f"`{f.encode_name}`" not in TEXT] == []


@pytest.mark.parametrize("name", ["http_port", "http_host", "watchdog_seconds", "log_format", "log_level"])
def test_every_setting_of_operations_is_named(name: str) -> None:
    assert name in StreamsSettings.model_fields
    assert f"`{name}" in TEXT


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_of_the_doctor_is_named(group: str) -> None:
    assert f"| `{group}` |" in TEXT
