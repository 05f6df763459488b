"""promtool, which checks alerts: a program of Debian's package `prometheus`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from contracts.errors import MissingServer
from infra.apt import install_packages, may_install, refresh_lists

PACKAGE, BINARY = "prometheus", "promtool"
FOLDER = Path(__file__).parent


def have_promtool(log: Callable[[str], None]) -> str:
    """Return its path; install it with apt-get where it is missing and that is allowed. Raises `MissingServer`."""
    if shutil.which(BINARY) is None and may_install():
        refresh_lists()
        install_packages([PACKAGE], log)
    found = shutil.which(BINARY)
    if found is None:
        raise MissingServer("There is no promtool.", hint="On Debian: apt-get install prometheus.")
    return found
