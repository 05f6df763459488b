"""The TFRecord file: how records of any bytes stand in it, each guarded by two checksums.

A record is its length (uint64), the masked CRC-32C of the length, its bytes, and their masked CRC-32C, all
little-endian (tensorflow/core/lib/io/record_writer.h). What is in the records is for others to know.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from contracts.errors import Corrupt, TooLarge

MOST_BYTES = 1 << 30

_LENGTH = struct.Struct("<QI")  # with its checksum
_HEAD, _FOOT = _LENGTH.size, 4
_CRC_MASK = 0xA282EAD8
_GZIP = b"\x1f\x8b"
_READ_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 1 << 16


def frame(bodies: Iterable[bytes], opening: Callable[[int], bytes] = lambda length: b"") -> bytes:
    """Return the bytes of a TFRecord file in which each record is a body, after what `opening` makes of its length."""
    whole = list(bodies)
    lengths = list(map(len, whole))
    openings = {length: opening(length) for length in set(lengths)}
    heads = {length: _head(len(opened) + length) + opened for length, opened in openings.items()}
    begun = {length: crc32c(opened) for length, opened in openings.items()}
    parts = [b""] * (3 * len(whole))
    parts[0::3] = map(heads.__getitem__, lengths)
    parts[1::3] = whole
    parts[2::3] = _masked(map(crc32c, whole, map(begun.__getitem__, lengths))).view(f"V{_FOOT}").tolist()
    return b"".join(parts)


def unframe(data: bytes, what: str = "a TFRecord file") -> list[bytes]:
    """Return the records of a TFRecord file. Raises `Corrupt` with the byte offset of the first damaged record.

    A file that was cut between two records is not told from a whole one. What a length says is never allocated.
    """
    records, ends, at, last = list[bytes](), list[int](), 0, len(data) - _HEAD - _FOOT
    while at <= last:
        length, checksum = _LENGTH.unpack_from(data, at)
        end = at + _HEAD + length
        if checksum != _checksum_of(length) or end + _FOOT > len(data):
            break
        records.append(data[at + _HEAD : end])
        ends.append(end)
        at = end + _FOOT
    stored = np.frombuffer(b"".join([data[end : end + _FOOT] for end in ends]), "<u4")
    wrong = np.flatnonzero(_masked(map(crc32c, records)) != stored)
    if len(wrong) or at < len(data):
        raise Corrupt(what, f"byte {ends[wrong[0]] - len(records[wrong[0]]) - _HEAD if len(wrong) else at}")
    return records


def starts(records: list[bytes]) -> NDArray[np.int64]:
    """Return at which byte of their file each of its records begins."""
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    return np.cumsum(lengths + _HEAD + _FOOT) - lengths - _FOOT


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a TFRecord file, decompressed where TensorFlow's option GZIP has written it.

    A file that is or becomes longer than `most` bytes raises `TooLarge`, before much more than that is held. A gzip
    file that is torn or damaged raises `Corrupt`. The frames are not looked at: `unframe` does that.
    """
    with path.open("rb") as file:
        start = file.read(_HEAD)
        file.seek(0)
        framed = start == _head(int.from_bytes(start[:8], "little"))  # a length may look like gzip's magic
        data = file.read(most + 1) if framed or not start.startswith(_GZIP) else _gunzip(file, path, most)
    if len(data) > most:
        raise TooLarge(f"{path} holds more than {most:,} bytes", hint="Split it into smaller TFRecord files.")
    return data


def _gunzip(file: BinaryIO, path: Path, most: int) -> bytes:
    """Decompress up to `most` bytes and one more; a gzip file may be several ones after each other."""
    parts, size, waiting = list[bytes](), 0, b""
    member = zlib.decompressobj(_READ_GZIP)
    while size <= most and (data := waiting or file.read(_PIECE)):
        member = zlib.decompressobj(_READ_GZIP) if member.eof else member
        try:
            parts.append(member.decompress(data, most + 1 - size))
        except zlib.error as error:
            raise Corrupt(str(path), f"byte {size} of what is compressed in it ({error})") from None
        size += len(parts[-1])
        waiting = member.unused_data if member.eof else member.unconsumed_tail
    if size <= most and not member.eof:
        raise Corrupt(str(path), f"byte {size} of what is compressed in it: it is torn")
    return b"".join(parts)


def _head(length: int) -> bytes:
    return _LENGTH.pack(length, _checksum_of(length))


@functools.lru_cache(maxsize=1 << 14)
def _checksum_of(length: int) -> int:
    return int(_masked([crc32c(length.to_bytes(8, "little"))])[0])


def _masked(checksums: Iterable[int]) -> NDArray[np.uint32]:
    crcs = np.fromiter(checksums, np.uint32)
    masked = (crcs >> np.uint32(15) | crcs << np.uint32(17)) + np.uint32(_CRC_MASK)
    return masked.astype("<u4")
