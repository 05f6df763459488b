"""What people keep by hand about the packaging, kept by a test."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, project, setuptools_table, top_level_names

STAGES = ["streams", "trainer", "publisher", "serving"]
NOT_PACKAGED = {"tests", "docs", "build", "dist", "var"}


@pytest.fixture(scope="module")
def installed() -> dict[str, set[str]]:
    """Which distributions, of all that are installed, bring a top-level name."""
    return {name: set(owners) for name, owners in metadata.packages_distributions().items()}


@pytest.mark.parametrize("name", top_level_names())
def test_a_top_level_name_comes_from_our_distribution_alone(name: str, installed: dict[str, set[str]]) -> None:
    # Our names are flat and could be another distribution's too (an index has a trainer that imports as `trainer`).
    assert installed.get(name) == {"freshet"}, "install the checkout with: pip install -e '.[dev]'"


def test_every_folder_with_modules_is_a_listed_package() -> None:
    folders = {path.parent for path in ROOT.glob("*/**/*.py") if path.relative_to(ROOT).parts[0] not in NOT_PACKAGED}
    visible = {path.relative_to(ROOT) for path in folders if not _hidden(path.relative_to(ROOT))}
    assert sorted(setuptools_table()["packages"]) == sorted(str(path).replace("/", ".") for path in visible)


@pytest.mark.parametrize("package", setuptools_table()["packages"])
def test_the_init_of_a_package_is_a_docstring(package: str) -> None:
    text = (ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8").strip()
    assert text.startswith('"""')
    assert text.index('"""', 3) == len(text) - 3


def test_every_other_file_of_a_stage_is_packaged() -> None:
    stages = (path for stage in STAGES for path in (ROOT / stage).rglob("*") if path.is_file())
    others = {path.relative_to(ROOT) for path in stages if path.suffix not in {".py", ".pyc"}}
    listed = setuptools_table()["package-data"]
    found = {path.relative_to(ROOT) for stage in listed for glob in listed[stage] for path in (ROOT / stage).glob(glob)}
    assert found == others != set()


def test_every_module_at_the_root_is_listed() -> None:
    assert sorted(setuptools_table()["py-modules"]) == sorted(path.stem for path in ROOT.glob("*.py"))


def test_no_index_accepts_an_upload() -> None:
    facts = project()["project"]
    assert isinstance(facts, dict)
    assert "Private :: Do Not Upload" in facts["classifiers"]


def test_there_is_an_extra_for_each_stage_and_one_for_all_of_them() -> None:
    facts = project()["project"]
    assert isinstance(facts, dict)
    extras = facts["optional-dependencies"]
    assert set(STAGES) <= set(extras)
    assert f"freshet[{','.join(STAGES)}]" in extras["demo"]
    assert "freshet[demo]" in extras["dev"]


@pytest.mark.parametrize("extra", ["streams", "serving", "publisher"])
def test_only_the_trainer_brings_torch(extra: str) -> None:
    facts = project()["project"]
    assert isinstance(facts, dict)
    needed = [*facts["dependencies"], *facts["optional-dependencies"][extra]]
    assert not [requirement for requirement in needed if requirement.startswith("torch")]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.endswith(".egg-info") for part in path.parts)
