"""The one folder that keeps what was downloaded or unpacked for servers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """Return FRESHET_CACHE, or ~/.cache/freshet when that is unset; the folder need not exist yet."""
    return Path(os.environ.get("FRESHET_CACHE") or Path.home() / ".cache" / "freshet")


def fill_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """Return `target`, which `fill` has written completely: now, or in an earlier call.

    `fill` writes into a folder beside the target that is renamed when it returns, so a folder that exists is whole. Two
    processes may fill at the same time: the first rename wins, and the other's work is thrown away.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fill(unfinished)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target
