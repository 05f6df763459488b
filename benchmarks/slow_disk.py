"""A stream worker on a disk that is slow for one partition's shards: each fsync there takes so many seconds longer.

python -m benchmarks.slow_disk SECONDS ARGUMENTS...      arguments of `freshet streams worker`
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from streams.commands import worker

SLOW = "00000"  # folder of the partition
_fsync = os.fsync


def slow_fsync(seconds: float) -> None:
    """Make `os.fsync` slow for files and folders of shards of partition 0."""

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if "shards" in path.parts and SLOW in path.parts:
            time.sleep(seconds)
        _fsync(descriptor)

    os.fsync = fsync  # type: ignore[assignment]


if __name__ == "__main__":
    slow_fsync(float(sys.argv[1]))
    sys.exit(worker(sys.argv[2:]))
