"""The disk under the run folder: space, and whether a commit can be made there. One probe file, which is deleted."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from contracts import durable
from contracts.errors import FreshetError
from contracts.findings import Finding, fault, of_error, ok, unused, warning
from contracts.layout import Layout

LOW_BYTES, NO_BYTES = 2 << 30, 64 << 20
LOW_FILES, NO_FILES = 50_000, 500
SLOW_S = 1.0  # the alert "slow disk" of docs/operations.md
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}
_ROOM = "Free space, or move the run folder: `freshet publish retire` deletes bases that no rollback needs."


def look(layout: Layout) -> Iterator[Finding]:
    """Yield what there is of space, and how a commit of a few bytes goes."""
    root = layout.root
    if not root.exists():
        yield unused("run folder", f"there is no {root} yet", "If there should be: name it with --root or FRESHET_ROOT")
        return
    if not root.is_dir():
        yield fault("run folder", f"{root} is no folder", "Name the run folder with --root or FRESHET_ROOT.")
        return
    yield _space(root)
    try:
        yield from _commits(layout)
    except OSError as error:
        yield _no_commit(error)


def _space(root: Path) -> Finding:
    found = os.statvfs(root)
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    numbered = found.f_files > 0  # some file systems make names as they are needed, and count none
    said = f"{root.resolve()} has {_gigabytes(free)} free" + (f", and room for {files:,} files" if numbered else "")
    if free < NO_BYTES or (numbered and files < NO_FILES):
        return fault("space", said, _ROOM, FreshetError.exit_code)
    if free < LOW_BYTES or (numbered and files < LOW_FILES):
        return warning("space", said, _ROOM)
    return ok("space", said)


def _commits(layout: Layout) -> Iterator[Finding]:
    """Create the probe as a manifest is created: written beside, fsynced, linked to its name. Then once more."""
    probe, data = layout.probe(secrets.token_hex(6)), b"freshet doctor\n"
    began = time.perf_counter()
    try:
        durable.create_exclusive(probe, data)
        yield _speed(time.perf_counter() - began)
        if durable.create_exclusive(probe, data):
            yield fault(
                "exclusive links",
                "a name could be created twice: two processes could own one chain",
                "Put the run folder on a file system with hard links that are exclusive (ext4, xfs, NFS).",
            )
        else:
            yield ok("exclusive links", "a name that is taken cannot be created again")
    finally:
        probe.unlink(missing_ok=True)


def _speed(seconds: float) -> Finding:
    said = f"a few bytes were written, fsynced and linked in {seconds * 1000:.1f} ms"
    if seconds > SLOW_S:
        return warning("commit", said, "Every commit waits for this: see what else writes to the disk, or use another.")
    return ok("commit", said)


def _no_commit(error: OSError) -> Finding:
    if error.filename2 is not None and error.errno in _NO_LINKS:
        return fault(
            "exclusive links",
            f"no hard link can be made: {error.strerror}",
            "Put the run folder on a file system with hard links (ext4, xfs, NFS).",
        )
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    said = of_error("commit", error, _ROOM if full else "")
    return fault("commit", f"nothing can be written: {said.found}", said.remedy, said.exit_code)


def _gigabytes(count: int) -> str:
    return f"{count / (1 << 30):,.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):,.1f} MiB"
