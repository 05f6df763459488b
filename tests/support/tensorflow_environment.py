"""TensorFlow in a virtual environment of its own: it is a reader that shares no code with us, and a gigabyte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.cache import cache_folder, fill_once

REQUIREMENT = "tensorflow-cpu>=2.16"


@pytest.fixture(scope="session")
def tensorflow_python(pytestconfig: pytest.Config) -> Path:
    """The interpreter of the environment, which is made once for this machine: 1.6 GB, about half a minute."""
    folder = cache_folder() / "tensorflow-venv"
    if not folder.exists():
        _say(pytestconfig, f"Installing {REQUIREMENT} into {folder}, once: 1.6 GB, about half a minute.")
    return fill_once(folder, _install) / "bin" / "python"


def _install(folder: Path) -> None:
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--no-cache-dir",
            REQUIREMENT,
        ],
    )
    for step in steps:
        ended = subprocess.run(step, capture_output=True, text=True, check=False)
        if ended.returncode:
            said = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
            pytest.fail(
                f"TensorFlow, which has to read our files, could not be installed: {' '.join(said) or step}. "
                f"It needs 2 GB under {folder.parent} and a package index that pip can reach.",
                pytrace=False,
            )


def _say(config: pytest.Config, sentence: str) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{sentence}", flush=True)
