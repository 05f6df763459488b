"""What the command lines of all stages share: one look, one `--root`, values parsed and frozen before any I/O."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from contracts.layout import Layout

ROOT_VARIABLE = "FRESHET_ROOT"
DEFAULT_ROOT = Path("var/run")


def parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """Return a parser for `freshet <command>` with the options that every command has."""
    made = argparse.ArgumentParser(
        prog=f"freshet {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT),
        help=f"run folder: shards, bases, deltas and served manifests (default: ${ROOT_VARIABLE}, else {DEFAULT_ROOT})",
    )
    return made


def layout(arguments: argparse.Namespace) -> Layout:
    """Return the layout of the run folder that the arguments name."""
    return Layout(arguments.root)


def positive(text: str) -> int:
    """Argument type: a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number
