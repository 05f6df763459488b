"""`make fuzz`: each target for some seconds in a process of its own; a crash ends with the line that repeats it."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS

MEMORY_MIB = 2048
ONE_INPUT_S = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz; return 1 where an input was found that a target cannot bear."""
    arguments = _parser().parse_args(argv)
    failed = [name for name in arguments.target or TARGETS if not _fuzz(name, arguments.seconds, arguments.seed)]
    return 1 if failed else 0


def _fuzz(name: str, seconds: int, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        corpus, found = Path(folder, "corpus"), Path(folder, "found")
        corpus.mkdir()
        found.mkdir()
        for number, data in enumerate(TARGETS[name].seeds):
            (corpus / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MIB}", f"-timeout={ONE_INPUT_S}"]
        options = [f"-seed={seed}", f"-artifact_prefix={found}/", "-max_len=4096", "-print_final_stats=1", str(corpus)]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.one", name, *limits, *options],
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        runs = re.search(r"number_of_executed_units: (\d+)", ended.stdout)
        print(f"{name}: {int(runs.group(1)) if runs else 0:,} inputs in {seconds} s", flush=True)
        inputs = [path.read_bytes() for path in sorted(found.iterdir())]
    for data in inputs:
        print(f'{name}: repeat it with: {sys.executable} -c "{_program(name, data)}"')
    if ended.returncode:
        print(f"{name}: failed\n{ended.stdout[-4000:]}", file=sys.stderr)
    return ended.returncode == 0 and not inputs


def _program(name: str, data: bytes) -> str:
    """Return one line of Python that gives a target an input again."""
    return f"from tests.fuzz.targets import TARGETS; TARGETS['{name}'].check(bytes.fromhex('{data.hex()}'))"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="fuzz this one (may be repeated)")
    parser.add_argument("--seconds", type=int, default=60, help="for so long each")
    parser.add_argument("--seed", type=int, default=1, help="of the generator")
    return parser


if __name__ == "__main__":
    sys.exit(main())
