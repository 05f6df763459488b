"""Installing Debian packages where that is allowed: as root, with apt-get, and INSTALL not 0."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from contracts.errors import MissingServer


def may_install() -> bool:
    """Return whether this process may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None and os.environ.get("INSTALL") != "0"


def known_to_apt(package: str) -> bool:
    """Return whether apt's lists name the package."""
    command = ["apt-cache", "show", "--no-all-versions", package]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def refresh_lists() -> None:
    """Have apt-get fetch its lists; a mirror that fails is noticed when a package is missing."""
    subprocess.run(["apt-get", "-qq", "-o", "Acquire::Retries=3", "update"], capture_output=True, check=False)


def install_packages(packages: Sequence[str], log: Callable[[str], None]) -> None:
    """Install the packages, saying so first; raises MissingServer with apt-get's last line when it fails."""
    log(f"Installing {' and '.join(packages)} with apt-get (INSTALL=0 forbids it).")
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "Acquire::Retries=3", *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MissingServer(
            f"apt-get could not install {' and '.join(packages)}: {last}",
            hint=f"Install {' and '.join(packages)} by hand.",
        )
