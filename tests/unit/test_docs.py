"""The documents say what the code says: fields, crash points, commands, steps, files, tests and links."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel
from safetensors.numpy import load

from contracts import crash, deltas, samples
from contracts.deltas import Changes
from contracts.example import features_of_example
from contracts.layout import Layout
from contracts.rows import RowTable, pack_table
from freshet import COMMANDS
from streams.attach.settings import ClickSource, ItemSource, RequestSource
from tests.golden import specimens
from tests.support.source_tree import ROOT, product_modules, tree

MODULES = product_modules()
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not set(path.relative_to(ROOT).parts) & {".venv", "var"})
FORMATS, GUARANTEES = ROOT / "docs" / "formats.md", ROOT / "docs" / "guarantees.md"
TESTS = ROOT / "tests"

# In which section of formats.md the fields of a struct stand.
SECTIONS = {
    "contracts.chain": {"Chain": ["DataFile", "Manifest"]},
    "contracts.events": {"Event": ["Context", "Shown", "Rejected", "Request", "Click", "Tick", "Item"]},
    "contracts.samples": {"Sample": ["Sample", "Source"]},
    "contracts.shards": {"Shard": ["Shard", "Rebuild"], "Dead letter": ["DeadLetter"]},
    "contracts.bases": {"Base": ["Base", "Towers", "OnlineSettings"]},
    "contracts.features": {"Base": ["FeatureSpec", "DiscreteFeature", "ContinuousFeature"]},
    "contracts.deltas": {"Delta": ["Delta"]},
    "contracts.validation": {"Validation record": ["BlockScore"]},
    "contracts.rebases": {"Rebase record": ["Rebase"]},
    "contracts.nights": {"Night record": ["Night"]},
    "contracts.drift": {"Drift record": ["Drift", "Shift", "Spread"]},
    "contracts.served": {"Served manifest": ["Served", "Refused", "Position", "Hold", "Gate"]},
}
STRUCTS = [(m, section, name) for m, found in SECTIONS.items() for section, names in found.items() for name in names]

# Where the numbered steps of a docstring stand in guarantees.md.
SEQUENCES = {
    "Commit to a chain": ("contracts/commit.py", None),
    "Full retrain": ("trainer/retrain.py", None),
    "The night": ("trainer/nightly.py", None),
    "Rebase": ("trainer/rebase.py", None),
    "Import": ("trainer/importing/run.py", None),
    "Promotion": ("publisher/promotion.py", "publish_once"),
    "Retiring": ("publisher/retention.py", "retire"),
    "Sinks": ("publisher/sinks.py", "follow"),
    "Attaching topics": ("streams/attach/rekey.py", None),
}

_STEP = re.compile(r"^\s*(\d+)\. ", re.MULTILINE)
_PATH = re.compile(
    r"`((?:contracts|streams|trainer|publisher|serving|infra|examples|benchmarks|tests|docs)/[\w/.-]+)(?::([\w.]+))?`"
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(path: Path, title: str) -> str:
    """The text under a heading of the second level."""
    (found,) = [part for part in text_of(path).split("\n## ")[1:] if part.partition("\n")[0] == title]
    return found


def says(text: str, name: str) -> bool:
    """Whether a name stands in the text as code, or as a key of an example."""
    return re.search(rf'[`"]{re.escape(name)}[`"]', text) is not None


def columns(data: bytes) -> set[str]:
    """The columns of a safetensors file; those of text are stored as two arrays."""
    return {re.sub(r"\.(text|ends)$", "", name) for name in load(data)}


def test_every_struct_of_a_boundary_has_its_section() -> None:
    found = {
        (name, node.name)
        for name, path in MODULES.items()
        if name.startswith("contracts.")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and "msgspec.Struct" in map(ast.unparse, node.bases)
    }
    assert found == {(module, name) for module, _, name in STRUCTS}


@pytest.mark.parametrize(("module", "title", "name"), STRUCTS)
def test_every_field_of_a_boundary_stands_in_its_section(module: str, title: str, name: str) -> None:
    struct = getattr(importlib.import_module(module), name)
    fields = [field.encode_name for field in msgspec.structs.fields(struct)]
    assert [field for field in fields if not says(section(FORMATS, title), field)] == []


@pytest.mark.parametrize("source", [ClickSource, RequestSource, ItemSource])
def test_every_key_of_a_foreign_topic_stands_in_its_section(source: type[BaseModel]) -> None:
    assert [key for key in source.model_fields if not says(section(FORMATS, "Foreign topics"), key)] == []


def test_every_feature_of_a_sample_stands_in_its_section() -> None:
    found = features_of_example(samples.encode(specimens.SAMPLES[0]))
    names = {re.sub(r"^(context/\w+/).*", r"\1<feature>", name) for name in found}
    assert {name for name in names if not says(section(FORMATS, "Sample"), name)} == set()


def test_every_column_of_rows_and_deltas_stands_in_its_section() -> None:
    delta = columns(deltas.encode(Changes(np.zeros(1, np.float32), 0), 1))
    assert {name for name in delta if not says(section(FORMATS, "Delta"), name)} == set()
    assert {name for name in pack_table(RowTable.of({}, 1)) if not says(section(FORMATS, "Base"), name)} == set()


@pytest.mark.parametrize("name", specimens.BASE_FILES)
def test_every_file_of_a_base_and_its_columns_stand_in_the_section(name: str) -> None:
    text = section(FORMATS, "Base")
    assert says(text, name)
    if name.endswith(".safetensors") and not name.startswith("dense"):
        assert {column for column in columns(specimens.BASE_FILES[name]) if not says(text, column)} == set()


def test_every_path_of_the_layout_stands_in_its_section() -> None:
    layout, text = Layout(Path("run")), section(FORMATS, "Run folder")
    partitioned = {name: getattr(layout, name)("TOPIC", 0) for name in ("shards", "stream_state")}
    of_base = {name: getattr(layout, name)("BASE", 0) for name in ("deltas", "trainer_state")}
    others = {
        "bases": layout.bases(),
        "base": layout.base("BASE"),
        "unfinished_base": layout.unfinished_base("BASE", "NAME"),
        "shuffled_day": layout.shuffled_day("BASE", "NAME"),
        "retired_base": layout.retired_base("BASE", "NAME"),
        "rebase": layout.rebase("BASE"),
        "nights": layout.nights("TOPIC"),
        "experiment": layout.experiment("NAME"),
        "served": layout.served(),
        "refused": layout.refused(),
        "item_store": layout.item_store(),
        "worker_data": layout.worker_data("NAME"),
        "probe": layout.probe("NAME"),
    }
    paths = partitioned | of_base | others
    assert set(paths) == {name for name, member in vars(Layout).items() if callable(member) and name[0] != "_"}
    shown = {"TOPIC": "<topic>", "BASE": "<base id>", "NAME": "<name>", "00000": "<partition>"}
    shown[".doctor.NAME.probe"] = ".doctor.<name>.probe"
    shown |= {f".BASE.NAME.{what}": f".<base id>.<unique>.{what}" for what in ("tmp", "shuffled", "retired")}
    for path in paths.values():
        assert "`" + "/".join(shown.get(part, part) for part in path.relative_to("run").parts) in text


def crash_points() -> Iterator[str]:
    """Every name that product code reaches; the chain's are told by those who recover one."""
    for name, path in MODULES.items():
        if name == "contracts.crash" or name.startswith(("examples", "benchmarks")):
            continue
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            match ast.unparse(call.func), call.args:
                case "reach", [ast.Constant(value=str(point))]:
                    yield point
                case "reach", [ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value=str(step))])]:
                    yield from (chain + step for chain in chains_recovered())


def chains_recovered() -> Iterator[str]:
    for path in MODULES.values():
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            match ast.unparse(call.func), call.args:
                case "commit.recover", [ast.Constant(value=str(chain)), *_]:
                    yield chain


def test_every_crash_point_stands_in_the_guarantees_and_no_other_does() -> None:
    points = set(crash_points())
    assert {"shards.commit.2", "deltas.commit.2", "publish.promote.4"} <= points
    told = set(re.findall(r"`((?:shards|deltas|publish|attach|rebase|nightly)\.\w+\.\w+)`", text_of(GUARANTEES)))
    assert told == points
    assert crash.VARIABLE in text_of(GUARANTEES)


@pytest.mark.parametrize("title", SEQUENCES)
def test_a_sequence_has_the_same_steps_in_docstring_body_and_document(title: str) -> None:
    name, function = SEQUENCES[title]
    source = tree(ROOT / name)
    nodes = [n for n in ast.walk(source) if isinstance(n, ast.FunctionDef) and n.name == function]
    docstring = ast.get_docstring(nodes[0] if function else source) or ""
    steps = counted(docstring)
    assert len(steps) > 3
    assert counted(section(GUARANTEES, title)) == steps
    body = [int(step) for step in re.findall(r"^ +# Step (\d+):", text_of(ROOT / name), re.MULTILINE)]
    assert body == steps[: len(body)]
    assert len(body) >= len(steps) - 1


def counted(text: str) -> list[int]:
    """The first numbered list of a text: 1, 2, 3 …"""
    numbers = [int(number) for number in _STEP.findall(text)]
    return [n for n, _ in takewhile(lambda pair: pair[0] == pair[1], zip(numbers, range(1, 100), strict=False))]


@pytest.mark.parametrize("words", [command.words for command in COMMANDS])
def test_every_command_stands_in_the_readme(words: str) -> None:
    assert f"`freshet {words}`" in text_of(ROOT / "README.md")


def test_every_tier_and_every_file_of_support_stands_in_the_readme_of_tests() -> None:
    text = text_of(TESTS / "README.md")
    tiers = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert {tier for tier in tiers if f"| `{tier}/` |" not in text} == set()
    support = {path.name for path in (TESTS / "support").glob("[!_]*.py")}
    assert {name for name in support if not says(text, name)} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def anchors(path: Path) -> set[str]:
    """The anchors that headings get: lower case, letters, digits and hyphens."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_every_file_and_function_that_a_document_names_is_there(path: Path) -> None:
    for name, symbol in _PATH.findall(text_of(path)):
        assert (ROOT / name).exists(), name
        assert not symbol or symbol in defined(ROOT / name), f"{name}:{symbol}"


def defined(path: Path) -> set[str]:
    """Functions, classes and methods of a module, these as Class.method."""
    found: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            inside = node.body if isinstance(node, ast.ClassDef) else []
            found |= {f"{node.name}.{part.name}" for part in inside if hasattr(part, "name")}
    return found


@cache
def names_of_tests() -> frozenset[str]:
    nodes = (node for path in TESTS.rglob("test_*.py") for node in ast.walk(tree(path)))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_every_test_that_a_document_names_is_there(path: Path) -> None:
    assert set(re.findall(r"`(test_\w+)`", text_of(path))) - {"test_…"} - names_of_tests() == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_no_document_names_a_path_of_one_machine(path: Path) -> None:
    assert re.findall(r"(?<![\w.<])/(?:work|tmp|root|home)\b", text_of(path)) == []
