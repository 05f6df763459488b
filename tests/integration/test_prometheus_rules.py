"""The alerts as Prometheus reads them."""

from __future__ import annotations

import subprocess

import pytest

from infra.prometheus.promtool import FOLDER


@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "freshet.rules.yml"),
        ("test", "rules", "freshet.rules.test.yml"),
    ],
    ids=" ".join,
)
def test_each_alert_fires_on_its_drift_and_is_silent_on_a_quiet_day(promtool: str, words: tuple[str, ...]) -> None:
    ended = subprocess.run([promtool, *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
