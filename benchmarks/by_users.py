"""A reading of a base of so many users, taken in a process that has done nothing else; the base by one before it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from benchmarks.results import REPOSITORY
from benchmarks.rounds import Say
from benchmarks.runs import run
from benchmarks.scratch import scratch_folder
from contracts import durable
from contracts.bases import MANIFEST
from contracts.layout import Layout
from infra.processes import Program

Reading = TypeVar("Reading", bound=msgspec.Struct)


@dataclass(frozen=True)
class ByUsers(Generic[Reading]):
    """`write` writes a base named `base_id`, `read` reads what is asked for of it; `module` has this as its `main`."""

    module: str
    base_id: str
    kind: type[Reading]
    write: Callable[[Layout, int], object]
    read: Callable[[Layout, int], Reading]

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the command line; return its exit code."""
        parser = argparse.ArgumentParser(
            prog=f"python -m {self.module}", description="One reading, by itself: --write first, then without it."
        )
        parser.add_argument("--users", type=int, default=1_000_000, help="how many (default: %(default)s)")
        parser.add_argument("--folder", type=Path, required=True, help="where the base is, or with --write will be")
        parser.add_argument("--write", action="store_true", help="write the base, and end")
        parser.add_argument("--result", type=Path, help="a file for the reading, as JSON")
        arguments = parser.parse_args(argv)
        layout = Layout(arguments.folder)
        if arguments.write:
            self.write(layout, arguments.users)
            return 0
        found = msgspec.json.encode(self.read(layout, arguments.users))
        print(found.decode())
        if arguments.result:
            durable.replace_file(arguments.result, found)
        return 0

    def in_a_process(self, users: int, say: Say) -> Reading:
        """Write the base in one process, take the reading in another."""
        with scratch_folder() as folder:
            result, written = folder / "reading.json", folder / "bases" / self.base_id / MANIFEST
            words = [sys.executable, "-m", self.module, "--users", str(users), "--folder", str(folder)]
            say(f"a base of {users:,} users")
            run(Program("The base", [*words, "--write"], folder / "log", REPOSITORY), written.exists)
            run(Program("The reading", [*words, "--result", str(result)], folder / "log", REPOSITORY), result.exists)
            return msgspec.json.decode(result.read_bytes(), type=self.kind)
