"""Java and Maven as they are found on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess

from contracts.errors import MissingServer

LOWEST_JAVA = 17  # what Kafka 4's broker is compiled for


def java_version() -> int | None:
    """Return the major version of the `java` on the path; None when there is none that runs."""
    try:
        answer = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found.group(1)) if answer.returncode == 0 and found else None


def java_runs_kafka() -> bool:
    """Return whether the `java` on the path is new enough for the broker."""
    return (java_version() or 0) >= LOWEST_JAVA


def maven_there() -> bool:
    """Return whether `mvn` is on the path."""
    return shutil.which("mvn") is not None


def require_java() -> None:
    """Raise MissingServer unless Java can run the broker."""
    if not java_runs_kafka():
        raise MissingServer(
            f"Kafka needs Java {LOWEST_JAVA} or newer, and `java` is {java_version() or 'not there'}.",
            hint=f"Install a Java {LOWEST_JAVA} runtime (Debian: apt-get install openjdk-{LOWEST_JAVA}-jre-headless).",
        )
