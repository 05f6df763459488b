"""TFRecord files from disk: plain and gzip, torn, damaged, and larger than they may be."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import Corrupt, TooLarge
from contracts.framing import frame, read_file, starts, unframe
from tests.support.damage import all_flips

RECORDS = [b"", b"one", bytes(300), b"\x1f\x8b"]
WHOLE = frame(RECORDS)


def file(folder: Path, data: bytes) -> Path:
    path = folder / "records"
    path.write_bytes(data)
    return path


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    assert read_file(file(tmp_path, WHOLE)) == WHOLE
    assert read_file(file(tmp_path, b"")) == b""


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_gzip_file_is_decompressed(tmp_path: Path, level: int) -> None:
    assert read_file(file(tmp_path, gzip.compress(WHOLE, level))) == WHOLE


def test_gzip_files_after_each_other_are_one_file(tmp_path: Path) -> None:
    parts = gzip.compress(WHOLE) + gzip.compress(b"") + gzip.compress(frame([b"more"]))
    assert unframe(read_file(file(tmp_path, parts))) == [*RECORDS, b"more"]


def test_a_plain_file_whose_first_length_looks_like_gzip_is_plain(tmp_path: Path) -> None:
    record = bytes(0x088B1F)
    assert unframe(read_file(file(tmp_path, frame([record])))) == [record]


def test_a_gzip_file_cut_at_any_byte_is_corrupt(tmp_path: Path) -> None:
    whole = gzip.compress(WHOLE)
    for length in range(2, len(whole)):
        with pytest.raises(Corrupt, match="torn"):
            read_file(file(tmp_path, whole[:length]))


def test_a_flipped_bit_of_a_gzip_file_is_corrupt_or_leaves_no_trace(tmp_path: Path) -> None:
    noticed = 0
    for bad in all_flips(gzip.compress(WHOLE)):
        try:  # gzip's header holds a time and a name of a system, which change nothing
            assert unframe(read_file(file(tmp_path, bad))) == RECORDS
        except Corrupt:
            noticed += 1
    assert noticed > len(gzip.compress(WHOLE)) * 4


def test_what_decompresses_to_too_much_is_refused_before_it_is_held(tmp_path: Path) -> None:
    bomb = file(tmp_path, gzip.compress(bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="holds more than 1,048,576 bytes"):
            read_file(bomb, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_may_be_as_large_as_the_bound_and_no_larger(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    path = file(tmp_path, compress(WHOLE))
    assert read_file(path, len(WHOLE)) == WHOLE
    with pytest.raises(TooLarge):
        read_file(path, len(WHOLE) - 1)


@pytest.mark.parametrize("length", [1 << 60, (1 << 64) - 1, 1 << 31])
def test_a_length_that_no_file_has_is_refused_without_allocating(length: int) -> None:
    whole = frame([b""])
    for head in (length.to_bytes(8, "little") + whole[8:12], _head(length)):
        tracemalloc.start()
        try:
            with pytest.raises(Corrupt, match="byte 16"):
                unframe(whole + head + bytes(100))
            assert tracemalloc.get_traced_memory()[1] < 1 << 16
        finally:
            tracemalloc.stop()


def test_the_first_damaged_record_is_named_although_the_end_is_torn_as_well() -> None:
    flipped = WHOLE.replace(b"one", b"two")
    with pytest.raises(Corrupt, match=r"the file is damaged at byte 16$"):
        unframe(flipped[:-1], "the file")


def test_records_begin_where_they_are_said_to_begin() -> None:
    assert [WHOLE[at : at + len(record)] for at, record in zip(starts(RECORDS), RECORDS, strict=True)] == RECORDS


def _head(length: int) -> bytes:
    """A length with its right checksum: by the definition, bit by bit."""
    raw, crc = length.to_bytes(8, "little"), 0xFFFFFFFF
    for byte in raw:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return raw + ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
