"""The house numbers of the product: small modules, small functions, few parameters, honest names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, Function, functions, product_modules

MODULE_LINES, FUNCTION_LINES, PARAMETERS = 300, 40, 5
NO_NAMES = {"utils", "util", "common", "helpers", "base", "core", "misc"}
MODULES = product_modules()


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> Path:
    return MODULES[request.param]


def body_lines(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    assert function.end_lineno is not None
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def parameters(function: Function) -> int:
    """Parameters besides self and cls."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    stars = [star for star in (arguments.vararg, arguments.kwarg) if star]
    return len([argument for argument in named if argument.arg not in {"self", "cls"}]) + len(stars)


def test_a_module_is_small(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


def test_a_function_is_small(module: Path) -> None:
    assert {f.name: body_lines(f) for f in functions(module) if body_lines(f) > FUNCTION_LINES} == {}


def test_a_function_takes_few_parameters(module: Path) -> None:
    # pydantic calls this one, with the parameters that it chose.
    foreign = {"settings_customise_sources"}
    counted = {f.name: parameters(f) for f in functions(module) if f.name not in foreign}
    assert {name: count for name, count in counted.items() if count > PARAMETERS} == {}


def test_a_module_has_a_name_that_says_something(module: Path) -> None:
    assert module.stem not in NO_NAMES
    assert module.parent.name not in NO_NAMES


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "serving" / "web").glob("*.js")))
def test_a_script_is_small_and_so_are_its_lines(name: str) -> None:
    lines = (ROOT / "serving" / "web" / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MODULE_LINES
    assert [line for line in lines if len(line) > 120] == []
