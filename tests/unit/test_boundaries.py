"""Who may import what: read from the syntax of every module against the tables below."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, imports, product_modules, top_level_names, tops

MODULES = product_modules()
OURS = set(top_level_names())

# A package of ours may import itself and these.
MAY_IMPORT = {
    "contracts": set[str](),
    "streams": {"contracts"},
    "trainer": {"contracts"},
    "publisher": {"contracts"},
    "serving": {"contracts"},
    "infra": {"contracts"},
    "freshet": {"contracts"},
    "examples": OURS - {"benchmarks", "freshet"},
    "benchmarks": OURS - {"freshet"},
}

# The leaf may be imported by anything, so it brings little with it.
CONTRACTS_MAY_IMPORT = {
    "crc32c",
    "google",
    "msgspec",
    "numpy",
    "pydantic",
    "pydantic_settings",
    "rocksdict",
    "safetensors",
}

# These stay behind few doors; benchmarks and examples are no part of a deployment and may compare with anything.
CONFINED = {
    "faust": [f"streams/{name}.py" for name in ("app", "agents", "owned", "scheduler", "transport")],
    "pymilvus": ["publisher/item_index.py", "publisher/milvus_sink.py", "serving/item_search.py"],
    "torch": ["trainer/*"],
    "rocksdict": ["contracts/state_db.py"],
    "prometheus_client": [
        "streams/metrics.py",
        "streams/health.py",
        "trainer/metrics.py",
        "serving/metrics.py",
        "serving/api.py",
    ],
    "fastapi": ["serving/api.py", "serving/documented.py"],
    "redis": ["serving/vector_cache.py", "publisher/redis_sink.py"],
    "google": ["contracts/example.py", "streams/attach/protobuf.py"],
    "crc32c": ["contracts/framing.py"],
    "safetensors": ["contracts/arrays.py"],
    "pyarrow": ["streams/sources/arrow.py", "trainer/importing/parquet.py"],
}

# What the image of a stage must do without.
HEAVY = {"streams": {"torch", "tfrecord", "onnxruntime", "pymilvus"}, "serving": {"torch", "tfrecord", "faust"}}
NOT_DEPLOYED = {"examples", "benchmarks"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def reached_from(package: str) -> tuple[set[str], set[str]]:
    """Our modules that the modules of `package` reach by imports, wherever they stand, and what is not ours."""
    waiting = [name for name in MODULES if name.partition(".")[0] == package]
    ours, foreign = set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in ours:
            continue
        ours.add(name)
        found = imports(MODULES[name])
        waiting += [other for other in found if other in MODULES]
        foreign |= tops(found) - OURS
    return ours, foreign


def test_the_table_has_every_package() -> None:
    assert set(MAY_IMPORT) == OURS


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_of_ours_only_what_its_package_may(name: str) -> None:
    package = name.partition(".")[0]
    assert (tops(imports(MODULES[name])) & OURS) - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("name", [name for name in MODULES if name.partition(".")[0] == "contracts"])
def test_contracts_import_little(name: str) -> None:
    assert tops(imports(MODULES[name])) - OURS - sys.stdlib_module_names <= CONTRACTS_MAY_IMPORT


@pytest.mark.parametrize("confined", CONFINED)
def test_a_confined_package_is_imported_behind_its_doors_alone(confined: str) -> None:
    deployed = [path for name, path in MODULES.items() if name.partition(".")[0] not in NOT_DEPLOYED]
    importers = [relative(path) for path in deployed if confined in tops(imports(path))]
    assert [path for path in importers if not any(fnmatch.fnmatch(path, door) for door in CONFINED[confined])] == []
    assert [door for door in CONFINED[confined] if not fnmatch.filter(importers, door)] == []


def test_the_command_line_imports_no_stage_before_a_command_is_called() -> None:
    assert tops(imports(ROOT / "freshet.py", at_module_level_only=True)) & OURS == {"contracts"}


@pytest.mark.parametrize(
    ("package", "forbidden"), [("streams", {"torch", "onnx", "pymilvus"}), ("serving", {"torch", "faust"})]
)
def test_a_deployed_stage_reaches_nothing_heavy_of_another(package: str, forbidden: set[str]) -> None:
    ours, foreign = reached_from(package)
    assert {name.partition(".")[0] for name in ours} == {package, "contracts"}
    assert foreign & HEAVY[package] == set()


def test_samples_are_encoded_and_decoded_without_torch_and_tfrecord() -> None:
    program = """
import sys
import streams.app, streams.pipeline
from contracts import sample_decoding, sample_encoding, samples
from tests.golden import specimens
columns = samples.columns_of(specimens.SAMPLES)
if sample_decoding.decode(sample_encoding.encode(columns)) != columns:
    sys.exit("other samples came back")
print(*{"torch", "tfrecord"} & set(sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\n", "")


@pytest.mark.parametrize("name", MODULES)
def test_nothing_untrusted_is_unpickled(name: str) -> None:
    assert tops(imports(MODULES[name])) & {"pickle", "shelve", "marshal", "dill", "cloudpickle"} == set()
