"""Fuzzes one target until its time is over, by Atheris: `python -m tests.fuzz.one TARGET [libFuzzer's options]`."""

from __future__ import annotations

import importlib
import sys

import atheris

if __name__ == "__main__":
    with atheris.instrument_imports(include=["contracts"]):
        targets = importlib.import_module("tests.fuzz.targets")
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name].check)
    atheris.Fuzz()
