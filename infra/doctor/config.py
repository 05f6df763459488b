"""The folder of settings, which all stages share."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.findings import Finding, warning
from contracts.layout import Layout
from contracts.settings import CONFIG_FOLDER, config_folder


def look(layout: Layout) -> Iterator[Finding]:
    """Yield a warning where the folder that somebody named does not exist: then every setting has its default."""
    if not config_folder().is_dir():
        yield warning(
            "folder",
            f"{config_folder()} is not there, so every setting has its default",
            f"Set {CONFIG_FOLDER} to the folder of the .toml files, or unset it.",
        )
