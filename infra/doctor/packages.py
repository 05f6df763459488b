"""Python, and the packages of each extra, by what is written down of the installation: nothing of it is imported."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from contracts.findings import Finding, fault, ok, unused
from contracts.layout import Layout

US = "freshet"
# What an extra is there for: without it the extra was never meant to be installed.
HEARTS = {"streams": "faust-streaming", "trainer": "torch", "publisher": "pymilvus", "serving": "fastapi"}
GPU_DRIVER = Path("/proc/driver/nvidia/version")


def look(layout: Layout) -> Iterator[Finding]:
    """Yield how Python, our own requirements and those of each stage stand."""
    yield ok("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    try:
        version = metadata.version(US)
    except metadata.PackageNotFoundError:
        yield fault(US, "it is not installed, only found where it lies", "Install it: make setup")
        return
    yield _extra("", f"{US} {version}")
    for extra in HEARTS:
        yield not_installed(extra) or _extra(extra, extra)
    if (torch := _installed("torch")) is not None:
        yield ok("torch", _build(torch))


def not_installed(extra: str) -> Finding | None:
    """Return that the packages of an extra are not there, and were never meant to be; None where they are."""
    heart = HEARTS[extra]
    if _installed(heart) is not None:
        return None
    return unused(extra, f"{heart} is not installed", f"If it is to run here: pip install 'freshet[{extra}]'")


def _extra(extra: str, what: str) -> Finding:
    """Return which packages are there, or which are missing or of a version that does not do."""
    requirements = _requirements(extra)
    wrong = [_wrong(requirement) for requirement in requirements]
    if any(wrong):
        install = f"pip install 'freshet[{extra}]'" if extra else "make setup"
        return fault(what, "; ".join(filter(None, wrong)), f"Install what is missing: {install}")
    return ok(what, ", ".join(f"{r.name} {_installed(r.name)}" for r in requirements))


def _wrong(requirement: Requirement) -> str:
    version = _installed(requirement.name)
    if version is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version} is installed, {requirement.specifier} is needed"
    return ""


def _requirements(extra: str) -> list[Requirement]:
    """Return what an extra adds, or for `""` what Freshet needs in any case, on this machine."""
    try:
        every = [Requirement(text) for text in metadata.requires(US) or []]
    except metadata.PackageNotFoundError:
        return []
    if not extra:
        return [r for r in every if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [r for r in every if r.marker and r.marker.evaluate({"extra": extra}) and "extra" in str(r.marker)]


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _build(version: str) -> str:
    """Return of which build torch is; the file is read, for to import torch takes seconds."""
    path = Path(str(metadata.distribution("torch").locate_file("torch/version.py")))
    try:
        found = re.search(r"^cuda\b[^=]*= *'([^']+)'", path.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return f"{version}; of which build it is cannot be read in {path}"
    if found is None:
        return f"{version}, a CPU build: all that Freshet uses"
    gpu = "Freshet does not use the GPU here" if GPU_DRIVER.exists() else "there is no GPU here, and Freshet needs none"
    return f"{version}, a CUDA {found[1]} build; {gpu}. A CPU build is smaller: README, A smaller torch"
