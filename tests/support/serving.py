"""`freshet serve` as a process of its own, as a person starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.layout import Layout
from tests.support.workers import REPOSITORY

COMMAND = [sys.executable, "-m", "freshet", "serve"]


@contextmanager
def served(layout: Layout, **settings: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start it, at a free port unless a setting says otherwise, and end it if the test did not."""
    own = {"FRESHET_SERVING_SEARCH": "exact", "FRESHET_SERVING_PORT": "0"}
    environment = {**os.environ, **own, **settings}
    command = [*COMMAND, "--root", str(layout.root)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:(\d+),", process.stdout.readline())
        assert found
        yield int(found.group(1)), process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
