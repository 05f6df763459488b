"""The working tree as syntax: which modules there are, what each of them imports, which functions it defines."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def project() -> dict[str, object]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def setuptools_table() -> dict[str, Any]:
    """Return what pyproject.toml tells setuptools."""
    table = project()["tool"]
    assert isinstance(table, dict)
    return dict(table["setuptools"])


def top_level_names() -> list[str]:
    """Return every name that an installation makes importable."""
    table = setuptools_table()
    return sorted({name.partition(".")[0] for name in (*table["packages"], *table["py-modules"])})


def product_modules() -> dict[str, Path]:
    """Return every module of the product by its dotted name, `freshet` among them."""
    files = [*ROOT.glob("*.py"), *(path for name in top_level_names() for path in (ROOT / name).rglob("*.py"))]
    return {dotted(path): path for path in sorted(files)}


def dotted(path: Path) -> str:
    """Return the name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path, *, at_module_level_only: bool = False) -> set[str]:
    """Return the dotted names that a module imports, inside of functions too; `from a import b` gives `a` and `a.b`."""
    nodes = _outside_of_functions(tree(path)) if at_module_level_only else ast.walk(tree(path))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def tops(names: set[str]) -> set[str]:
    """Return the first part of each dotted name."""
    return {name.partition(".")[0] for name in names}


def functions(path: Path) -> Iterator[Function]:
    """Yield every function and method of a file, nested ones too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def _outside_of_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda):
            yield child
            yield from _outside_of_functions(child)
