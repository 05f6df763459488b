"""The jars of Kafka's broker, fetched once with Maven into the cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

from contracts.errors import MissingServer
from infra.cache import cache_folder, fill_once
from infra.kafka.java import maven_there

KAFKA_VERSION = "4.1.0"
_POM = Path(__file__).with_name("pom.xml")


def jar_folder() -> Path:
    """Return where the jars are kept; the folder exists only when all of them are there."""
    return cache_folder() / f"kafka-{KAFKA_VERSION}" / "libs"


def jars_there() -> bool:
    """Return whether the jars were fetched before."""
    return jar_folder().is_dir()


def fetch_jars() -> Path:
    """Return the folder of the jars, fetching them when they are not there yet (5 to 60 s).

    Raises MissingServer when Maven is absent or could not fetch them.
    """
    return fill_once(jar_folder(), _copy_dependencies)


def _copy_dependencies(folder: Path) -> None:
    if not maven_there():
        raise MissingServer(
            f"Kafka's jars are not in {jar_folder()}, and Maven, which fetches them, is not there.",
            hint="Install Maven (Debian: apt-get install maven).",
        )
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    command = ["mvn", "-B", "-q", "-f", str(_POM), goal, f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise MissingServer(
            f"Maven could not fetch Kafka's jars: {_first_error(answer.stdout)}",
            hint="Look whether Maven Central, or the mirror in ~/.m2/settings.xml, can be reached.",
        )


def _first_error(output: str) -> str:
    errors = [line.removeprefix("[ERROR] ") for line in output.splitlines() if line.startswith("[ERROR] ")]
    return errors[0] if errors else "it gave no reason."
