"""What the command lines of all stages share: one look, one `--root`, values parsed and frozen before any I/O."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path

from contracts.layout import Layout

ROOT_VARIABLE = "FRESHET_ROOT"
DEFAULT_ROOT = Path("var/run")


def bare_parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """Return a parser for a `freshet <command>` that has no run folder."""
    return argparse.ArgumentParser(
        prog=f"freshet {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def parser(
    command: str, description: str, epilog: str = "", root: Path | None = DEFAULT_ROOT, shown: str = ""
) -> argparse.ArgumentParser:
    """Return a parser for `freshet <command>` with `--root`; its default is $FRESHET_ROOT, else `root`.

    `root` None: the command names its own folder, and `shown` says which.
    """
    made = bare_parser(command, description, epilog)
    named = os.environ.get(ROOT_VARIABLE)
    made.add_argument(
        "--root",
        type=Path,
        default=Path(named) if named else root,
        help=f"run folder: shards, bases, deltas, served manifests (default: ${ROOT_VARIABLE}, else {shown or root})",
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


def who() -> str:
    """Return the name of the person or account that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return "unknown"


def utf8(text: str) -> str:
    """Argument type: a text that a log can hold; a shell hands over any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text
