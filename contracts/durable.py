"""The only code that fsyncs. A file is either absent or whole under its final name, also after a power cut.

Write beside, fsync, link (exclusive) or replace, fsync the directory: Litestream's `WriteLTXFile` order.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_directory(directory: Path) -> None:
    """Create `directory` and its parents; after it returns all of them survive a power cut."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        fsync_directory(path.parent)


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a file whose name nobody else uses or waits for (a data file that no manifest names yet), fsynced.

    The directory is not fsynced: call `fsync_directory` once after the last file of a group. When it raises, it has
    left nothing.
    """
    with open(path, "xb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def create_exclusive(path: Path, data: bytes) -> bool:
    """Create `path` with `data` if it does not exist; the commit of a chain.

    True: this call created it, whole and durable. False: it existed before and is untouched. Of any number of
    concurrent callers exactly one gets True. A crash leaves the old state or the new one, never a part.
    """
    with _beside(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except FileNotFoundError:  # somebody tidied up behind a head that has passed this number
            if path.exists():
                return False
            raise
    fsync_directory(path.parent)
    return True


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` under `path` in one step, over whatever was there (a hint, never the truth)."""
    with _beside(path, data) as temporary:
        os.replace(temporary, path)
    fsync_directory(path.parent)


def publish_directory(finished: Path, final: Path) -> bool:
    """Rename the complete directory `finished` to `final`; False when `final` already holds something.

    Every file in `finished` must have been written by `write_file`.
    """
    fsync_directory(finished)
    try:
        os.rename(finished, final)
    except OSError:
        if final.exists():
            return False
        raise
    fsync_directory(final.parent)
    return True


@contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    write_file(temporary, data)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
