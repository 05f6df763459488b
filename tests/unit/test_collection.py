"""Every test runs: a function that reads like a test and is not found by pytest is a failure."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.support.collected import Collection
from tests.support.source_tree import ROOT, Function, functions, tree

FILES = sorted((ROOT / "tests").rglob("*.py"))
TEST_FILES = [path for path in FILES if path.name.startswith("test_")]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def named_tests(path: Path) -> list[str]:
    """Functions of a file whose names say that they are tests, at any depth."""
    return [function.name for function in functions(path) if function.name.startswith("test")]


def uncalled(path: Path) -> list[str]:
    """Functions at the top of a test file that hold an assert and that nothing in the file mentions."""
    mentioned = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    top = [node for node in tree(path).body if isinstance(node, Function)]
    lonely = [f for f in top if not f.name.startswith("test_") and f.name not in mentioned and not f.decorator_list]
    return [f.name for f in lonely if any(isinstance(node, ast.Assert) for node in ast.walk(f))]


@pytest.mark.parametrize("path", TEST_FILES, ids=name_of)
def test_every_function_named_a_test_is_found_by_pytest(path: Path, collection: Collection) -> None:
    if collection.covers(path):  # else this run was asked for other files
        assert set(named_tests(path)) == collection.in_file(path)


@pytest.mark.parametrize("path", TEST_FILES, ids=name_of)
def test_no_test_hides_another_of_its_name(path: Path) -> None:
    assert [name for name, times in Counter(named_tests(path)).items() if times > 1] == []


@pytest.mark.parametrize("path", TEST_FILES, ids=name_of)
def test_no_function_asserts_something_that_nobody_calls(path: Path) -> None:
    assert uncalled(path) == []


def test_tests_stand_in_files_that_pytest_reads() -> None:
    assert {name_of(path): named_tests(path) for path in FILES if path not in TEST_FILES and named_tests(path)} == {}


def test_every_folder_of_tests_is_a_package_so_that_two_files_may_share_a_name() -> None:
    assert {name_of(path.parent) for path in TEST_FILES if not (path.parent / "__init__.py").exists()} == set()
