"""Lines of plain and gzipped files, with errors that a person can act on."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from contracts.errors import MissingInput
from contracts.events import MAX_VALUE_BYTES
from contracts.zipped import GZIP_MAGIC, opened

# The decoder refuses a longer value; this much of a longer line is enough to let it do so.
LINE_BYTES = MAX_VALUE_BYTES + 1
_SAMPLE_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 16


def files_at(path: Path, *patterns: str) -> list[Path]:
    """Return the file at `path`, or a folder's that match a pattern, in name order. Raises `MissingInput`."""
    if not path.exists():
        raise MissingInput(f"there is no file or folder {path}", hint="Check the path after --data.")
    if not path.is_dir():
        return [path]
    found = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
    if not found:
        raise MissingInput(
            f"folder {path} holds no file that matches {' or '.join(patterns)}",
            hint="Name the file itself after --data, or check --format.",
        )
    return found


def split_files(path: Path, *names: str) -> tuple[Path, ...]:
    """Return the file at `path`, or a folder's of one of these names, or those of its folders, training parts first.

    Raises `MissingInput`.
    """
    if not path.is_dir():
        return tuple(files_at(path))
    if found := [file for name in names if (file := path / name).is_file()]:
        return tuple(found)
    parts = files_at(path, *(f"*/{name}" for name in names))
    return tuple(sorted(parts, key=lambda file: ("train" not in file.parent.name, file)))


def files_beside(files: Iterable[Path], *names: str) -> tuple[Path, ...]:
    """Return the files of these names in the folders of `files`; where none of them has one, in those above them."""
    folders = list(dict.fromkeys(file.parent for file in files))
    for around in (folders, dict.fromkeys(folder.parent for folder in folders)):
        if found := [file for folder in around for name in names if (file := folder / name).is_file()]:
            return tuple(found)
    return ()


def beginning(path: Path, size: int) -> bytes:
    """Return the first bytes of a file. Raises `MissingInput` where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise MissingInput(f"{path} cannot be read: {error.strerror or error}") from None


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file without their ends, cut off at `LINE_BYTES`; gzip is known by its first bytes.

    Raises `MissingInput` naming the line where a file turns out to be torn or unreadable.
    """
    number = 0
    try:
        with opened(path) as stream:
            for block in _blocks(stream):
                yield from block
                number += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MissingInput(
            f"{path} is torn after line {number} ({error})",
            hint=f"Fetch it again; `gzip -t {path}` tells whether it is whole.",
        ) from None
    except OSError as error:
        raise MissingInput(f"{path} cannot be read: {error.strerror or error}") from None


def line_estimate(paths: list[Path]) -> int:
    """Return about how many lines the files hold, judged by the beginning of the first and the sizes of all."""
    try:
        with paths[0].open("rb") as stream:
            sample = stream.read(_SAMPLE_BYTES)
        size = sum(path.stat().st_size for path in paths)
        text = zlib.decompressobj(wbits=31).decompress(sample) if sample.startswith(GZIP_MAGIC) else sample
    except (OSError, zlib.error):
        return 0
    return text.count(b"\n") * size // max(len(sample), 1)


def _blocks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the lines by the block: to ask a stream for each line takes several times as long.

    A block is shorter than the longest line, so that only its first and its last may be cut off.
    """
    rest = b""
    while block := stream.read1(_BLOCK_BYTES):  # type: ignore[attr-defined]  # a buffered reader of either kind
        found = block.split(b"\n")
        found[0] = (rest + found[0])[:LINE_BYTES]
        rest = found.pop()
        yield [line.rstrip(b"\r") for line in found]
    if rest:
        yield [rest.rstrip(b"\r")]
