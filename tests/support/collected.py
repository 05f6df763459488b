"""Remembers which tests pytest found, before any are deselected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Collection:
    """What this run was asked for on the command line, and what it found: file and function of every test."""

    asked: tuple[Path, ...]
    found: frozenset[tuple[Path, str]]

    def covers(self, path: Path) -> bool:
        """Tell whether the run was asked for this whole file."""
        return any(path.is_relative_to(folder) for folder in self.asked)

    def in_file(self, path: Path) -> set[str]:
        """Return the test functions found in a file."""
        return {name for file, name in self.found if file == path}


COLLECTION = pytest.StashKey[Collection]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note file and function of every test."""
    asked = tuple((config.invocation_params.dir / argument).resolve() for argument in config.args)
    found = frozenset((item.path, item.originalname) for item in items if isinstance(item, pytest.Function))
    config.stash[COLLECTION] = Collection(asked, found)


@pytest.fixture
def collection(pytestconfig: pytest.Config) -> Collection:
    """What this run found."""
    return pytestconfig.stash[COLLECTION]
