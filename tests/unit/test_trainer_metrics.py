"""What Prometheus reads of an online process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec
import pytest

from contracts import deltas, drift, validation
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.deltas import Changes, Delta
from contracts.drift import Drift
from contracts.errors import UsageError
from contracts.layout import Layout
from infra.ports import free_ports
from tests.support.bases import Hits, block_scores, next_body, tiny_base
from tests.support.tastes import Tastes, write_tastes
from tests.support.trained import fold, train
from tests.unit.test_contracts_drift import RECORD
from trainer.metrics import OnlineMetrics, answering, page
from trainer.settings import TrainerSettings

FRESHET = Path(__file__).parents[2] / "freshet.py"


@pytest.fixture
def base(tmp_path: Path) -> OpenBase:
    return tiny_base(Layout(tmp_path))


def commit(base: OpenBase, record: Drift | None = RECORD, **changes: object) -> Entry[Delta]:
    """Append a delta of 64 samples to partition 1, with the drift record of other tests and 50 clicks scored."""
    counts = {"samples": 64, "learned": 60, "trend_only": 3, "set_aside": 1, "reasons": {"burst": 1}}
    chain = deltas.chain(base.layout, base.manifest.base_id, 1)
    body = next_body(base, chain.head(), 1)
    body = msgspec.structs.replace(body, watermark=90_000, **{**counts, **changes})
    files = {deltas.ROWS: deltas.encode(Changes(base.common, 1), 8)}
    if body.samples:
        files[deltas.VALIDATION] = validation.encode(block_scores(body, Hits(50, 20, 10)))
    if record:
        files[deltas.DRIFT] = drift.encode(record)
    entry = chain.prepare(chain.head(), body, files)
    chain.create(entry)
    return entry


def shown(metrics: OnlineMetrics) -> dict[str, float]:
    """The page as numbers by series."""
    text = page(metrics)("/metrics").body.decode()
    return {name: float(value) for name, value in re.findall(r"^(freshet_trainer\S+) (\S+)$", text, re.MULTILINE)}


WHERE = 'base="tiny",partition="1"'
EMPTY: dict[str, object] = {"samples": 0, "learned": 0, "trend_only": 0, "set_aside": 0, "reasons": {}}


def test_a_delta_is_shown_with_all_that_was_measured(base: OpenBase) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.committed(commit(base))
    found = shown(metrics)
    for name, value in {
        f"delta_watermark_timestamp_seconds{{{WHERE}}}": 90.0,
        f"interval_samples{{{WHERE}}}": 64,
        'samples_total{base="tiny",outcome="learned",partition="1"}': 60,
        'set_aside_total{base="tiny",partition="1",reason="burst"}': 1,
        f'recall{{arm="served",{WHERE}}}': 0.4,
        f'recall{{arm="frozen",{WHERE}}}': 0.2,
        f"unknown_item_share{{{WHERE}}}": 3 / 64,
        f"new_row_share{{{WHERE}}}": 2 / 42,
        f'row_distance{{{WHERE},quantile="0.5"}}': 0.25,
        f'row_distance{{{WHERE},quantile="1"}}': 1.0,
        f'row_angle_degrees{{{WHERE},quantile="0.99"}}': 8.0,
        f"common_row_distance{{{WHERE}}}": 1.5,
        f"common_row_angle_degrees{{{WHERE}}}": 30.0,
        f"popularity_divergence{{{WHERE}}}": 0.5,
        f"popularity_divergence_by_chance{{{WHERE}}}": 0.25,
        'context_divergence{base="tiny",feature="device",partition="1"}': 0.125,
        'context_divergence_by_chance{base="tiny",feature="device",partition="1"}': 0.0625,
        'context_mean_shift{base="tiny",feature="hour_sin",partition="1"}': -0.5,
    }.items():
        assert found[f"freshet_trainer_{name}"] == pytest.approx(value), name


def test_counters_add_up_and_gauges_are_of_the_newest(base: OpenBase) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.committed(commit(base))
    metrics.committed(commit(base, samples=8, learned=8, trend_only=0, set_aside=0, reasons={}))
    found = shown(metrics)
    assert found['freshet_trainer_samples_total{base="tiny",outcome="learned",partition="1"}'] == 68
    assert found[f"freshet_trainer_interval_samples{{{WHERE}}}"] == 8


def test_what_was_there_before_is_shown_and_not_counted(base: OpenBase) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.hold(["tiny"], [commit(base)])
    found = shown(metrics)
    assert found[f"freshet_trainer_popularity_divergence{{{WHERE}}}"] == 0.5
    assert not [name for name in found if "_total" in name]


def test_nothing_is_shown_of_a_branch_that_rests_its_counters_neither(base: OpenBase) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.committed(commit(base))
    metrics.hold(["tiny"], [])
    assert f"freshet_trainer_interval_samples{{{WHERE}}}" in shown(metrics)
    metrics.hold(["newer"], [])
    assert shown(metrics) == {}


def test_a_delta_without_clicks_and_without_a_record_shows_what_it_has(base: OpenBase) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.committed(commit(base, None, **EMPTY))
    gauges = {name.partition("{")[0] for name in shown(metrics) if "_total" not in name}
    assert gauges == {"freshet_trainer_delta_watermark_timestamp_seconds", "freshet_trainer_interval_samples"}


def test_what_a_base_cannot_tell_is_named(base: OpenBase) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.committed(commit(base, msgspec.structs.replace(RECORD, popularity=None, lacking=("popularity",))))
    found = shown(metrics)
    assert found['freshet_trainer_drift_lacking{base="tiny",kind="popularity",partition="1"}'] == 1
    assert f"freshet_trainer_popularity_divergence{{{WHERE}}}" not in found


def test_a_damaged_record_is_said_once_and_the_rest_is_shown(
    base: OpenBase, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = OnlineMetrics(base.layout)
    metrics.committed(commit(base))
    (record,) = base.layout.deltas("tiny", 1).glob("*.drift.jsonl")
    record.write_bytes(b"{}")
    for _ in range(2):
        assert shown(metrics)[f"freshet_trainer_interval_samples{{{WHERE}}}"] == 64
    said = capsys.readouterr().err
    assert said.count("is damaged at its digest") == 1
    assert said.endswith("; the metrics are without it\n")


def test_a_port_in_use_names_the_setting(tmp_path: Path) -> None:
    settings, metrics = TrainerSettings.load(), OnlineMetrics(Layout(tmp_path))
    with answering(metrics, settings):
        pass  # no port, no page
    with pytest.raises(UsageError, match="cannot listen") as refused:
        answering(metrics, settings.model_copy(update={"http_host": "192.0.2.1", "http_port": 9201})).__enter__()
    assert "--metrics-port" in refused.value.hint


def test_any_other_page_says_which_there_is(tmp_path: Path) -> None:
    answer = page(OnlineMetrics(Layout(tmp_path)))("/healthz")
    assert (answer.status, answer.body) == (404, b"/metrics\n")


def test_a_following_worker_answers_prometheus_until_it_is_told_to_end(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tastes(layout, Tastes(clicks_per_day=200))
    base = train(layout)
    fold(layout, base)
    (port,) = free_ports(1)
    words = ["trainer", "online", "--root", str(layout.root), "--follow", "--metrics-port", str(port)]
    command = [sys.executable, str(FRESHET), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            (url,) = re.findall(r"metrics at (\S+)", said)
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
        finally:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert f'freshet_trainer_popularity_divergence_by_chance{{base="{base.manifest.base_id}",partition="0"}}' in text
    assert process.returncode == 0


def test_a_metrics_port_without_follow_is_refused_in_a_line(tmp_path: Path) -> None:
    words = ["trainer", "online", "--root", str(tmp_path), "--metrics-port", "9201"]
    ended = subprocess.run([sys.executable, str(FRESHET), *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("--metrics-port goes with --follow")
