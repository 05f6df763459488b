"""The Kafka image that containers run: the one that is named, or our own, built where it is absent."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from contracts.errors import MissingServer
from infra.apt import install_packages, may_install, refresh_lists
from infra.kafka.jars import KAFKA_VERSION, fetch_jars

OWN_IMAGE = f"freshet-kafka:{KAFKA_VERSION}"
IMAGE_SETTING = "FRESHET_KAFKA_IMAGE"
_JRE_REPOSITORY, _JRE_TAG = "freshet-jre", "local"
_RECIPE_LABEL = "freshet.recipe"
_RECIPE = Path(__file__).parents[1] / "images" / "kafka"
_LOG4J = Path(__file__).with_name("log4j2.xml")
_POM = Path(__file__).with_name("pom.xml")


def image_name() -> str:
    """Return the image to run: FRESHET_KAFKA_IMAGE, or our own."""
    return os.environ.get(IMAGE_SETTING) or OWN_IMAGE


def ready_image(log: Callable[[str], None]) -> str:
    """Return the name of an image that the engine has, building our own or pulling a named one if need be.

    Raises MissingServer when the image can be neither built nor pulled here.
    """
    name = image_name()
    try:
        client = docker.from_env()
    except DockerException as error:
        raise MissingServer(
            "No Docker engine answers.", hint="Start one, and see that this user may talk to it."
        ) from error
    try:
        if name == OWN_IMAGE:
            _build_own(client, log)
        else:
            _pull_if_absent(client, name, log)
    finally:
        client.close()
    return name


def recipe_digest() -> str:
    """Return the digest of every file that decides what our image holds."""
    digest = hashlib.sha256()
    for path in [_RECIPE / "Dockerfile", _RECIPE / "entrypoint.sh", _RECIPE / "rootfs.sh", _LOG4J, _POM]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build_own(client: docker.DockerClient, log: Callable[[str], None]) -> None:
    recipe = recipe_digest()
    if _label(client, OWN_IMAGE) == recipe:
        return
    _require_debootstrap(log)
    log(f"Building the image {OWN_IMAGE} (about 2 minutes, once).")
    jars = fetch_jars()
    _import_root_file_system(client)
    with tempfile.TemporaryDirectory(prefix="freshet-image-") as context:
        for path in (_RECIPE / "Dockerfile", _RECIPE / "entrypoint.sh", _LOG4J):
            shutil.copy(path, context)
        shutil.copytree(jars, Path(context) / "libs")
        try:
            client.images.build(
                path=context,
                tag=OWN_IMAGE,
                buildargs={"BASE": f"{_JRE_REPOSITORY}:{_JRE_TAG}"},
                labels={_RECIPE_LABEL: recipe},
                rm=True,
            )
        except (APIError, BuildError) as error:
            raise _not_built(str(error)) from error


def _import_root_file_system(client: docker.DockerClient) -> None:
    with tempfile.TemporaryDirectory(prefix="freshet-rootfs-") as folder:
        archive, words = Path(folder) / "rootfs.tar", Path(folder) / "debootstrap.log"
        with archive.open("wb") as output, words.open("wb") as errors:
            made = subprocess.run([str(_RECIPE / "rootfs.sh")], stdout=output, stderr=errors, check=False)
        if made.returncode != 0:
            lines = words.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise _not_built(lines[-1] if lines else "debootstrap gave no reason")
        client.api.import_image_from_file(str(archive), repository=_JRE_REPOSITORY, tag=_JRE_TAG)


def _pull_if_absent(client: docker.DockerClient, name: str, log: Callable[[str], None]) -> None:
    try:
        client.images.get(name)
    except ImageNotFound:
        log(f"Pulling the image {name}.")
        try:
            client.images.pull(name)
        except APIError as error:
            raise MissingServer(
                f"The image {name} ({IMAGE_SETTING}) could not be pulled: {error.explanation or error}",
                hint=f"Name an image that can be had, or unset {IMAGE_SETTING} to build our own.",
            ) from error


def _require_debootstrap(log: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        raise _not_built("that takes root")
    if shutil.which("debootstrap") is None:
        if not may_install():
            raise _not_built("debootstrap is not installed")
        refresh_lists()
        install_packages(["debootstrap", "debian-archive-keyring"], log)


def _not_built(reason: str) -> MissingServer:
    return MissingServer(
        f"The image {OWN_IMAGE} is not there and was not built: {reason}.",
        hint=f"Set {IMAGE_SETTING}=apache/kafka:{KAFKA_VERSION} where a registry can be reached, or run "
        "`python -m infra.kafka build-image` as root with debootstrap installed.",
    )


def _label(client: docker.DockerClient, name: str) -> str | None:
    try:
        labels: dict[str, str] = client.images.get(name).labels
    except ImageNotFound:
        return None
    return labels.get(_RECIPE_LABEL)
