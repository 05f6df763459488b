"""The whole way, as a person starts it: `freshet demo`, left alone, killed from outside and interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra.kafka.choose import Broker
from tests.support.workers import REPOSITORY

PATIENCE_S = 240.0
SMALL = ("--days", "2", "--users", "150", "--items", "120", "--clicks-per-day", "2500")


def start(root: Path, *words: str, bootstrap: str = "") -> subprocess.Popen[str]:
    """Start a small demo; its output goes to a file beside its run folder."""
    root.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "KAFKA_BOOTSTRAP": bootstrap, "COLUMNS": "200"}
    with (root / "output").open("a") as output:
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "freshet.py"), "demo", "--root", str(root), *SMALL, *words],
            env=environment,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )


def finished(root: Path, process: subprocess.Popen[str]) -> str:
    """Wait for the end of a demo and return what it printed; it must have ended well."""
    code = process.wait(timeout=PATIENCE_S)
    output = (root / "output").read_text()
    assert code == 0, output
    return output


def fact(output: str, label: str) -> str:
    found = re.findall(rf"^{label} +([0-9a-f]{{64}})$", output, re.MULTILINE)
    assert len(set(found)) == 1, output
    return str(found[0])


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], root: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, (root / "output").read_text()
        assert time.monotonic() < deadline, (root / "output").read_text()
        time.sleep(0.02)


def windows_measured(root: Path) -> int:
    notes = list(root.glob("*/measured.json"))
    return notes[0].read_text().count('"version"') if notes else 0


def child(root: Path, *words: str) -> int:
    """Return the id of the process under `root` whose command line holds `words`; 0 where there is none."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().decode().split("\0")
        except OSError:
            continue
        if set(words) <= set(command) and any(part.startswith(str(root)) for part in command):
            return int(entry.parent.name)
    return 0


def kill_child(root: Path, demo: subprocess.Popen[str], *words: str) -> None:
    wait_until(lambda: child(root, *words) != 0, demo, root)
    os.kill(child(root, *words), signal.SIGKILL)


def test_a_click_goes_its_whole_way_and_the_counts_add_up_without_kafka(tmp_path: Path) -> None:
    output = finished(tmp_path, start(tmp_path, "--transport", "direct"))
    assert "✗" not in output
    assert output.count("✓") == 4
    (page,) = tmp_path.glob("*/results/index.html")
    assert "data:image/png;base64," in page.read_text()
    assert (page.parent / "plot.png").read_bytes().startswith(b"\x89PNG")
    (command,) = re.findall(r"^ask it +\.venv/bin/freshet (.*)$", output, re.MULTILINE)
    answer = subprocess.run(
        [sys.executable, str(REPOSITORY / "freshet.py"), *command.split()], capture_output=True, text=True, check=True
    )
    assert "own row" in answer.stdout


def test_killed_and_interrupted_over_kafka_it_arrives_at_the_digests_of_an_undisturbed_run(
    kafka: Broker, tmp_path: Path
) -> None:
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    demo = start(wild, bootstrap=kafka.bootstrap)
    kill_child(wild, demo, "streams", "worker")
    wait_until(lambda: windows_measured(wild) >= 4, demo, wild)
    kill_child(wild, demo, "trainer", "online")
    wait_until(lambda: windows_measured(wild) >= 8, demo, wild)
    kill_child(wild, demo, "streams", "worker")
    wait_until(lambda: windows_measured(wild) >= 12, demo, wild)
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(timeout=PATIENCE_S) == 130
    assert "the same command goes on from here" in (wild / "output").read_text()
    output = finished(wild, start(wild, bootstrap=kafka.bootstrap))
    undisturbed = finished(calm, start(calm, bootstrap=kafka.bootstrap))
    assert output.count("is started again and goes on from its chain") == 3
    for label in ("samples digest", "rows digest"):
        assert fact(output, label) == fact(undisturbed, label)
    assert figures(output) == figures(undisturbed)


def figures(output: str) -> list[str]:
    """The recall table: what was served in each window must not depend on deaths either."""
    return re.findall(r"│ (?:frozen base|trend table|fresh).*│", output)
