"""The command `freshet streams replay`, whole, but for the start of Python: what it takes is written into a file.

python -m benchmarks.timed_replay RESULT ARGUMENTS...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from contracts import durable
from streams.commands_replay import replay


def timed(result: Path, arguments: Sequence[str]) -> int:
    """Run the command; write its seconds into `result` if it has succeeded; return its exit code."""
    started = time.perf_counter()
    code = replay(arguments)
    seconds = time.perf_counter() - started
    if code == 0:
        durable.replace_file(result, msgspec.json.encode(seconds))
    return code


if __name__ == "__main__":
    sys.exit(timed(Path(sys.argv[1]), sys.argv[2:]))
