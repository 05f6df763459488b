"""Files that may be gzipped."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

GZIP_MAGIC = b"\x1f\x8b"


def opened(path: Path) -> BinaryIO:
    """Open a file to read what it says; gzip is known by its first bytes. Raises `OSError`, and so may reading."""
    with path.open("rb") as stream:
        zipped = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")
