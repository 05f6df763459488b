"""The alerts name metrics that there are, and pages that say what to do; promtool is asked elsewhere."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry

from contracts.layout import Layout
from examples.drift import KINDS, Kind
from infra.prometheus.promtool import FOLDER
from serving.metrics import Metrics
from streams.metrics import WorkerCollector
from streams.vitals import Vitals
from tests.support.source_tree import ROOT
from trainer.metrics import OnlineMetrics

RULES = (FOLDER / "freshet.rules.yml").read_text(encoding="utf-8")
TESTS = (FOLDER / "freshet.rules.test.yml").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "drift.md").read_text(encoding="utf-8")
ALERTS = re.findall(r"- alert: (\w+)", RULES)


def names_made() -> set[str]:
    """The series that our processes show."""
    registry = CollectorRegistry()
    registry.register(OnlineMetrics(Layout(ROOT)))
    registry.register(WorkerCollector("t", Vitals()))
    families = [*registry.collect(), *Metrics().registry.collect()]
    return {family.name + "_total" * (family.type == "counter") for family in families}


def test_every_metric_that_a_rule_names_is_made_by_some_process() -> None:
    without_comments = re.sub(r"^\s*#.*$", "", RULES, flags=re.MULTILINE)
    groups = set(re.findall(r"- name: (\w+)", RULES))
    asked = set(re.findall(r"\bfreshet_\w+(?![\w:])", without_comments)) - groups
    assert len(asked) >= 12
    assert asked - names_made() == set()


def test_every_job_of_the_example_is_missed_when_it_does_not_answer() -> None:
    jobs = re.findall(r"- job_name: (\S+)", (FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (asked,) = re.findall(r'up\{job=~"(.*)"\} == 0', RULES)
    assert len(jobs) == 3
    assert [job for job in jobs if not re.fullmatch(asked, job)] == []


def test_every_recorded_name_that_a_rule_asks_for_is_recorded() -> None:
    recorded = set(re.findall(r"- record: (\S+)", RULES))
    assert set(re.findall(r"\bfreshet_trainer:\w+:\w+", RULES)) == recorded


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_where_its_threshold_comes_from_and_what_to_do(alert: str) -> None:
    before, _, after = RULES.partition(f"- alert: {alert}\n")
    assert before.rstrip(" ").endswith("\n")
    assert before.splitlines()[-2].strip().startswith("#")
    (anchor,) = re.findall(r"runbook: docs/drift\.md#(\S+)", after.partition("- alert:")[0])
    headings = re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert f"`{alert}`" in GUIDE


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_both_firing_and_silent(alert: str) -> None:
    told = re.findall(rf"alertname: {alert}\b,?\s*exp_alerts: (\[.)", TESTS)
    assert "[]" in told
    assert "[{" in told


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_the_plots_show_the_thresholds_of_the_rules(kind: Kind) -> None:
    assert kind.rule in RULES


def test_every_gauge_of_the_online_update_stands_in_the_guide() -> None:
    registry = CollectorRegistry()
    registry.register(OnlineMetrics(Layout(ROOT)))
    made = {family.name + "_total" * (family.type == "counter") for family in registry.collect()}
    assert set(re.findall(r"^\| `(freshet_trainer_\w+)`", GUIDE, re.MULTILINE)) == made
